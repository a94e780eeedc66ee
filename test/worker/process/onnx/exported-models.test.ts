/** Models as exporters write them, with the outputs that Python's onnxruntime gives. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { DIALECT_HEADER } from '../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../src/worker/process/handler.ts'
import type { WireHeader } from '../../../../src/worker/wire/messages.ts'
import { answerOf, outputsOf } from '../../../helpers/infer.ts'
import { npyFile } from '../../../helpers/npy.ts'
import { ask, bodyRequest, loadModel, predict, problem } from '../../../helpers/onnx-model.ts'
import { sharedPath, testShared } from '../../../helpers/shared.ts'

const V1: WireHeader = [DIALECT_HEADER, 'v1']
const V2: WireHeader = [DIALECT_HEADER, 'v2']

interface Expected {
  readonly inputs: Readonly<Record<string, unknown>>
  readonly outputs: Readonly<Record<string, unknown>>
}

function load(t: TestContext, name: string): Promise<LoadedModel> {
  return loadModel(t, sharedPath('cases', 'models', name))
}

function expected(name: string): Expected {
  const text = readFileSync(sharedPath('cases', 'expected.json'), 'utf8')
  const all: Readonly<Record<string, Expected>> = JSON.parse(text.replaceAll('NaN', 'null'))
  const found = all[name]
  assert.ok(found !== undefined)
  return found
}

/** Equal but for the last digits of floats. */
function assertClose(actual: unknown, wanted: unknown): void {
  if (Array.isArray(wanted)) {
    assert.ok(Array.isArray(actual), JSON.stringify(actual))
    assert.equal(actual.length, wanted.length)
    for (const [index, one] of wanted.entries()) assertClose(actual[index], one)
  } else if (typeof wanted === 'number') {
    assert.ok(Math.abs(Number(actual) - wanted) < 1e-5, `${String(actual)} for ${wanted}`)
  } else assert.equal(actual, wanted)
}

async function assertAnswers(model: LoadedModel, name: string): Promise<void> {
  const { inputs, outputs } = expected(name)
  const [status, body] = await ask(model, bodyRequest(inputs))
  assert.equal(status, 200, JSON.stringify(body))
  const answer = body as Record<string, unknown>
  for (const [output, values] of Object.entries(outputs)) assertClose(answer[output], values)
}

testShared('C7: models without a shape give what Python gives', {}, async (t) => {
  for (const name of ['skl_noshape', 'norank', 'scalar', 'skl_columns_zip', 'xgb']) {
    await assertAnswers(await load(t, name), name)
  }
})

testShared(
  'C8: a scalar and a list of texts take the shapes of Triton’s clients',
  {},
  async (t) => {
    const scalar = await load(t, 'scalar')
    const one = { name: 'x', datatype: 'FP32', shape: [1], data: [3] }
    const answer = answerOf(await predict(scalar, bodyRequest({ inputs: [one] }, '', [V2])))
    assert.deepEqual(outputsOf(answer)[0]?.data, [6])
    const text = await load(t, 'skl_text1d_c')
    const column = [['good film'], ['bad film']]
    const [, plain] = await ask(text, bodyRequest({ text: column }))
    assert.deepEqual((plain as { label: unknown }).label, ['pos', 'neg'])
    const input = { name: 'text', datatype: 'BYTES', shape: [2, 1], data: column.flat() }
    const labels = answerOf(await predict(text, bodyRequest({ inputs: [input] }, '', [V2])))
    assert.deepEqual(outputsOf(labels)[0]?.data, ['pos', 'neg'])
  },
)

testShared('C10: a missing number is NaN to a model of trees, on every dialect', {}, async (t) => {
  const model = await load(t, 'xgb')
  const row = [0.1, null, 0.3, 0.4]
  const { label, probabilities } = expected('xgb').outputs
  const [, plain] = await ask(model, bodyRequest({ X: [row] }))
  assertClose(plain && (plain as { label: unknown }).label, label)
  assertClose(plain && (plain as { probabilities: unknown }).probabilities, probabilities)
  const [, v1] = await ask(model, bodyRequest({ instances: [row] }, '', [V1]))
  const { predictions } = v1 as { predictions: { label: number; probabilities: number[] }[] }
  assert.equal(predictions[0]?.label, 1)
  const input = { name: 'X', datatype: 'FP32', shape: [1, 4], data: row }
  const v2 = outputsOf(answerOf(await predict(model, bodyRequest({ inputs: [input] }, '', [V2]))))
  assertClose(v2[1]?.data, [0.2284633368253708, 0.5845862627029419, 0.1869504153728485])
})

testShared('C13: one symbol with two sizes gives what Python gives', {}, async (t) => {
  await assertAnswers(await load(t, 'symbols'), 'symbols')
})

testShared(
  'A4: an array file for a model of trees is read, not eight rows of its header',
  {},
  async (t) => {
    const model = await load(t, 'xgb')
    const data = Buffer.from(Float64Array.of(0.1, Number.NaN, 0.3, 0.4).buffer)
    const file = npyFile({ descr: '<f8', shape: [1, 4], data })
    const [status, body] = await ask(model, bodyRequest(file, ''))
    assert.equal(status, 200)
    assertClose(
      (body as { probabilities: unknown }).probabilities,
      expected('xgb').outputs['probabilities'],
    )
  },
)

testShared('A7: detections are never taken apart by instance', {}, async (t) => {
  const model = await load(t, 'detector1')
  const image = Array.from({ length: 3 }, (_, plane) =>
    Array.from({ length: 4 }, (_row, row) => [0, 0, plane === 0 && row === 0 ? 1 : 0, 0]),
  )
  const [status, body] = await ask(model, bodyRequest({ instances: [image] }, '', [V1]))
  assert.equal(status, 200)
  const { predictions } = body as { predictions: Record<string, unknown> }
  assert.deepEqual(Object.keys(predictions), ['boxes', 'scores'])
  const two = await problem(model, bodyRequest({ instances: [image, image] }, '', []))
  assert.match(two, /^400/)
})
