/**
 * Models of every datatype, served over HTTP by real workers: the tests' own, and those of
 * ../shared.
 */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ModelExample, TensorExample } from '../helpers/model-examples.ts'
import { failedModels, modelNames } from '../helpers/observe.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { ownExamples } from '../helpers/own-models.ts'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedPath, testShared } from '../helpers/shared.ts'

const OCTETS = 'application/octet-stream'
/** What onnxruntime says of operator versions it has no code for. */
const REFUSED_BY_RUNTIME =
  /^Failed to start workers: Could not find an implementation for \w+\(\d+\) node/

/** Folders of models in ../shared that onnxruntime loads, each with its example. */
function sharedExamples(): [string, ModelExample][] {
  const text = readFileSync(sharedPath('models', 'models.json'), 'utf8')
  const { models }: { models: Record<string, { file: string; example?: ModelExample }> } =
    JSON.parse(text)
  return Object.entries(models).flatMap(([name, { file, example }]): [string, ModelExample][] =>
    example !== undefined && file.includes('/') ? [[sharedPath('models', name), example]] : [],
  )
}

/**
 * The file contains booleans as 0 and 1, halves as their bits, and NaN and the infinities as text.
 */
function jsonValues({ datatype, data }: TensorExample): unknown[] {
  return data.map((value) => {
    if (datatype === 'BOOL') return value === 1
    if (datatype === 'FP16') return halfValue(Number(value))
    return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? null : value
  })
}

/** IEEE 754 binary16 from its bits. */
function halfValue(bits: number): number {
  const fraction = bits & 0x3ff
  const exponent = (bits >> 10) & 0x1f
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25)
  return bits & 0x8000 ? -magnitude : magnitude
}

/** Flat data as nested arrays. */
function nest(data: readonly unknown[], shape: readonly number[]): unknown {
  const [rows, ...rest] = shape
  if (rows === undefined) return data[0]
  const size = rest.reduce((product, dimension) => product * dimension, 1)
  return Array.from({ length: rows }, (_, row) =>
    nest(data.slice(row * size, (row + 1) * size), rest),
  )
}

function numbersOf({ datatype, bytes }: { datatype: string; bytes: Buffer }): number[] {
  const copy = new Uint8Array(bytes).buffer
  switch (datatype) {
    case 'FP32':
      return [...new Float32Array(copy)]
    case 'FP64':
      return [...new Float64Array(copy)]
    case 'INT64':
      return [...new BigInt64Array(copy)].map(Number)
    default:
      throw new Error(`no test data of type ${datatype} was expected`)
  }
}

async function predict(
  server: TestServer,
  name: string,
  body: NonNullable<RequestInit['body']>,
  contentType: string,
  headers: Readonly<Record<string, string>> = { accept: 'application/json' },
): Promise<Response> {
  return server.fetch(`/predictions/${name}`, {
    method: 'POST',
    body,
    headers: { ...headers, ...(contentType === '' ? {} : { 'content-type': contentType }) },
  })
}

/** Each answers its example exactly, in JSON, raw bytes and multipart. */
async function assertExamples(
  t: TestContext,
  models: readonly (readonly [folder: string, example: ModelExample])[],
): Promise<void> {
  const server = await serve(
    t,
    models.map(([folder]) => folder),
  )
  assert.deepEqual(await failedModels(server), [])
  for (const [folder, example] of models) {
    const name = path.basename(folder)
    await t.test(name, async () => {
      const expected = Object.fromEntries(
        Object.entries(example.outputs).map(([output, tensor]) => [
          output,
          nest(jsonValues(tensor), tensor.shape),
        ]),
      )
      const inputs = Object.entries(example.inputs)
      // A half may be written by any decimal that rounds to it.
      const isHalf = inputs.some(([, { datatype }]) => datatype === 'FP16')
      const read = (text: string): unknown =>
        JSON.parse(text, (_key, value: unknown) =>
          isHalf && typeof value === 'number' ? Math.fround(value) : value,
        )
      const keyed = Object.fromEntries(
        inputs.map(([input, tensor]) => [input, nest(jsonValues(tensor), tensor.shape)]),
      )
      const byName = await predict(server, name, JSON.stringify(keyed), 'application/json')
      assert.equal(byName.status, 200, await byName.clone().text())
      assert.deepEqual(read(await byName.text()), expected)

      const v2 = {
        inputs: inputs.map(([input, tensor]) => ({
          name: input,
          datatype: tensor.datatype,
          shape: tensor.shape,
          data: jsonValues(tensor),
        })),
      }
      const asProtocol = await predict(server, name, JSON.stringify(v2), 'application/json')
      assert.equal(asProtocol.status, 200, await asProtocol.clone().text())

      const form = new FormData()
      for (const [input, tensor] of inputs) {
        form.set(
          input,
          new Blob([JSON.stringify(nest(jsonValues(tensor), tensor.shape))], {
            type: 'application/json',
          }),
          `${input}.json`,
        )
      }
      const multipart = await predict(server, name, form, '')
      assert.equal(multipart.status, 200, await multipart.clone().text())
      assert.deepEqual(read(await multipart.text()), expected)
      const [only, ...others] = inputs
      const [output, ...otherOutputs] = Object.values(example.outputs)
      if (
        only?.[1].littleEndianHex &&
        others.length === 0 &&
        output?.littleEndianHex &&
        otherOutputs.length === 0 &&
        only[1].datatype !== 'BYTES'
      ) {
        const raw = await predict(
          server,
          name,
          Buffer.from(only[1].littleEndianHex, 'hex'),
          OCTETS,
          { accept: OCTETS, 'tensor-shape': only[1].shape.join() },
        )
        assert.equal(raw.status, 200, await raw.clone().text())
        assert.equal(Buffer.from(await raw.arrayBuffer()).toString('hex'), output.littleEndianHex)
      }
    })
  }
}

test(
  'each model that onnxruntime loads answers its example exactly, in JSON, raw bytes and multipart',
  { timeout: 180_000 },
  (t) =>
    assertExamples(
      t,
      ownExamples().map(([name, example]) => [modelPath(name), example]),
    ),
)

testShared('so does each model of ../shared', { timeout: 180_000 }, async (t) => {
  const models = sharedExamples()
  assert.ok(models.length >= 25, `only ${models.length} models have an example`)
  await assertExamples(t, models)
})

type Image = readonly [file: string, shape: readonly number[]]

/** One input of numbers is answered alike in JSON, as raw bytes and as multipart. */
async function assertAlike(t: TestContext, images: readonly Image[]): Promise<void> {
  const server = await serve(
    t,
    images.map(([file]) => file),
  )
  assert.deepEqual(await failedModels(server), [])
  for (const [file, shape] of images) {
    const name = path.basename(file, '.onnx')
    const values = Float32Array.from(
      { length: shape.reduce<number>((a, b) => a * b, 1) },
      (_, index) => (index % 7) / 8,
    )
    const bytes = Buffer.from(values.buffer)
    const raw = await predict(server, name, bytes, OCTETS)
    assert.equal(raw.status, 200, await raw.clone().text())
    const expected = await json(raw)
    const bare = await predict(
      server,
      name,
      JSON.stringify(nest([...values], shape)),
      'application/json',
    )
    assert.deepEqual(await json(bare), expected)
    const form = new FormData()
    form.set('data', new Blob([bytes], { type: OCTETS }), 'data.bin')
    assert.deepEqual(await json(await predict(server, name, form, '')), expected)
    const binary = await predict(server, name, bytes, OCTETS, { accept: OCTETS })
    const flat = Object.values(expected as Record<string, unknown[]>)[0]?.flat(9)
    assert.deepEqual(
      [...new Float32Array(await binary.arrayBuffer())].map((v) => v.toPrecision(6)),
      flat?.map((v) => Number(v).toPrecision(6)),
    )
  }
}

test('models for images answer JSON, raw bytes and multipart alike', {}, (t) =>
  assertAlike(t, [[modelPath('mnist.onnx'), [1, 1, 28, 28]]]),
)

testShared('mnist, squeezenet and resnet do too', { timeout: 120_000 }, (t) =>
  assertAlike(t, [
    [sharedPath('models/mnist.onnx'), [1, 1, 28, 28]],
    [sharedPath('models/light_squeezenet.onnx'), [1, 3, 224, 224]],
    [sharedPath('models/light_resnet50.onnx'), [1, 3, 224, 224]],
  ]),
)

test('a model with an unsupported tensor type is refused with its reason and leaves nothing', async (t) => {
  const server = await serve(t, [modelPath('identity_bf16'), modelPath('identity_fp32')])
  const failed = await failedModels(server)
  assert.deepEqual(
    failed.map(({ modelUrl }) => path.basename(modelUrl)),
    ['identity_bf16'],
  )
  assert.match(failed[0]?.reason ?? '', /Failed to start workers: .*\b16\b/)
  assert.deepEqual(await modelNames(server), ['identity_fp32'])
})

testShared(
  'the ONNX conformance models are served and match their expected outputs',
  { timeout: 300_000 },
  async (t) => {
    const { readTensorProto } = await import('../helpers/tensor-proto.ts')
    const root = sharedPath('onnx-conformance')
    const names = readdirSync(root).filter((name) =>
      existsSync(path.join(root, name, 'model.onnx')),
    )
    assert.ok(names.length >= 79)
    const server = await serve(t, [], { allowLocalPaths: true })
    let served = 0
    const refused: string[] = []
    const queue = names[Symbol.iterator]()
    const serveNext = async (): Promise<void> => {
      for (const name of queue) {
        const registered = await server.manage(
          `/models?url=${encodeURIComponent(path.join(root, name, 'model.onnx'))}&model_name=${name}`,
          { method: 'POST' },
        )
        if (registered.status !== 200) {
          const reason = (await json(registered)) as { type: string; message: string }
          assert.equal(reason.type, 'InvalidModelException', name)
          assert.match(reason.message, REFUSED_BY_RUNTIME, name)
          refused.push(name)
          continue
        }
        const description = (await json(await server.manage(`/models/${name}`))) as {
          metadata: { inputs: { name: string }[]; outputs: { name: string }[] }
        }
        const data = path.join(root, name, 'test_data_set_0')
        const inputs = description.metadata.inputs.map(({ name: input }, index) => ({
          name: input,
          ...readTensorProto(readFileSync(path.join(data, `input_${index}.pb`))),
        }))
        const body = JSON.stringify({
          inputs: inputs.map(({ name: input, ...tensor }) => ({
            name: input,
            datatype: tensor.datatype,
            shape: tensor.shape,
            data: numbersOf(tensor),
          })),
        })
        const answer = await predict(server, name, body, 'application/json')
        assert.equal(answer.status, 200, `${name}: ${await answer.clone().text()}`)
        const { outputs } = (await json(answer)) as {
          outputs: { name: string; shape: number[]; data: number[] }[]
        }
        outputs.forEach((output, index) => {
          const expected = readTensorProto(readFileSync(path.join(data, `output_${index}.pb`)))
          const values = numbersOf(expected)
          assert.deepEqual(output.shape, [...expected.shape], name)
          assert.equal(output.data.length, values.length, name)
          values.forEach((value, at) => {
            const got = output.data[at] ?? Number.NaN
            assert.ok(
              Math.abs(got - value) <= 1e-5 + 1e-3 * Math.abs(value),
              `${name} output ${index}[${at}]: ${got}, expected ${value}`,
            )
          })
        })
        served += 1
        assert.equal((await server.manage(`/models/${name}`, { method: 'DELETE' })).status, 200)
      }
    }
    await Promise.all([serveNext(), serveNext()])
    t.diagnostic(
      `${served} served and equal; refused by onnxruntime for an operator version it does not have: ${refused.toSorted().join(', ')}`,
    )
    assert.equal(served + refused.length, names.length)
    assert.ok(served >= 55, `only ${served} were served`)
  },
)
