/** Classes and scores of classifiers, with their labels, in every REST dialect. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { DIALECT_HEADER } from '../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../src/worker/process/handler.ts'
import type { WireHeader } from '../../../../src/worker/wire/messages.ts'
import {
  SPECIES,
  classifierModel,
  expectedClass,
  expectedScores,
} from '../../../helpers/classifier-models.ts'
import { answerOf, outputsOf } from '../../../helpers/infer.ts'
import { floats, integers, node, writeModelFolder } from '../../../helpers/onnx-builder.ts'
import type { ModelSource } from '../../../helpers/onnx-builder.ts'
import { ask, bodyRequest, loadModel, predict, predictAll } from '../../../helpers/onnx-model.ts'
import { temporaryFolder } from '../../../helpers/server.ts'
import type { Cleanup } from '../../../helpers/server.ts'

const V1: WireHeader = [DIALECT_HEADER, 'v1']
const V2: WireHeader = [DIALECT_HEADER, 'v2']
const DESCRIBE: WireHeader = ['describe', 'True']
const ROWS = [
  [0.5, 0.25, -1, 0],
  [0, 0.125, 2, 1],
]
const CHOSEN = ROWS.map((row) => expectedClass(row))
const LABELS = `${SPECIES.join('\n')}\n`

type Labelled = Readonly<Record<string, number>>

/** Writes a model with `model.json` and `labels.txt`, and loads it. */
async function load(
  t: Cleanup & Parameters<typeof loadModel>[0],
  source: ModelSource,
  settings: object = {},
  labels = LABELS,
): Promise<LoadedModel> {
  const files = { 'model.json': JSON.stringify(settings), 'labels.txt': labels }
  return loadModel(t, writeModelFolder(temporaryFolder(t), 'classifier', source, files))
}

async function answer(model: LoadedModel): Promise<Record<'label' | 'probabilities', unknown>> {
  const [status, body] = await ask(model, bodyRequest({ x: ROWS }))
  assert.equal(status, 200, JSON.stringify(body))
  return body as Record<'label' | 'probabilities', unknown>
}

async function outputsIn(model: LoadedModel): Promise<readonly Record<string, unknown>[]> {
  const [, body] = await ask(model, { headers: [DESCRIBE], parameters: [] })
  return (body as { outputs: readonly Record<string, unknown>[] }).outputs
}

function assertObjects(actual: unknown, labels: readonly string[]): void {
  const rows = actual as readonly Labelled[]
  assert.equal(rows.length, ROWS.length)
  for (const [index, row] of rows.entries()) {
    assert.deepEqual(Object.keys(row).toSorted(), labels.toSorted())
    const wanted = expectedScores(ROWS[index] ?? [])
    for (const [column, label] of labels.entries()) assertNear(row[label], wanted[column])
  }
}

function assertArrays(actual: unknown): void {
  const rows = actual as readonly (readonly number[])[]
  assert.equal(rows.length, ROWS.length)
  for (const [index, row] of rows.entries()) {
    const wanted = expectedScores(ROWS[index] ?? [])
    assert.equal(row.length, wanted.length)
    for (const [column, value] of wanted.entries()) assertNear(row[column], value)
  }
}

function assertNear(actual: number | undefined, wanted: number | undefined): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - (wanted ?? 0)) < 1e-6, `${actual} for ${wanted}`)
}

/** Scores and their position, without `ZipMap` and classifier operators. */
function argMaxModel(axis = 1): ModelSource {
  return {
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 4] }],
    outputs: [
      { name: 'label', type: 'INT64', shape: ['N'] },
      { name: 'probabilities', type: 'FP32', shape: ['N', 3] },
    ],
    nodes: [
      node('Slice', ['x', 'from', 'to', 'axes'], 'columns'),
      node('Mul', ['columns', 'two'], 'scores'),
      node('ArgMax', ['scores'], 'label', { axis, keepdims: 0 }),
      node('Softmax', ['scores'], 'probabilities', { axis: 1 }),
    ],
    constants: { from: integers(0), to: integers(3), axes: integers(1), two: floats([], [2]) },
  }
}

test('scores that were maps are objects keyed by label', async (t) => {
  const { label, probabilities } = await answer(await load(t, classifierModel()))
  assert.deepEqual(
    label,
    CHOSEN.map((index) => SPECIES[index]),
  )
  assertObjects(probabilities, SPECIES)
})

test('with "probabilities": "array" they are arrays', async (t) => {
  const model = await load(t, classifierModel(), { probabilities: 'array' })
  assertArrays((await answer(model)).probabilities)
  assert.deepEqual(
    (await outputsIn(model)).map(({ labels, form }) => [labels, form]),
    [
      [SPECIES, undefined],
      [SPECIES, undefined],
    ],
  )
})

test('the keys are the class numbers of the model, or the labels of model.json', async (t) => {
  const plain = await answer(await load(t, classifierModel({ classes: [10, 20, 30] })))
  assertObjects(plain.probabilities, ['10', '20', '30'])
  assert.deepEqual(
    plain.label,
    CHOSEN.map((index) => [10, 20, 30][index]),
  )
  const model = await load(t, classifierModel({ classes: [10, 20, 30] }), { labels: 'labels.txt' })
  const named = await answer(model)
  assertObjects(named.probabilities, SPECIES)
  assert.deepEqual(
    named.label,
    CHOSEN.map((index) => SPECIES[index]),
  )
  assert.deepEqual((await outputsIn(model))[0]?.['classNumbers'], [10, 20, 30])
})

test('with more labels than classes, a class number is the place of its label', async (t) => {
  const labels = ['nothing', ...SPECIES].join('\n')
  const settings = { labels: 'labels.txt' }
  const model = await load(t, classifierModel({ classes: [1, 2, 3] }), settings, labels)
  const { label, probabilities } = await answer(model)
  assertObjects(probabilities, SPECIES)
  assert.deepEqual(
    label,
    CHOSEN.map((index) => SPECIES[index]),
  )
})

test('labels that are not those of the classes change nothing', async (t) => {
  const settings = { labels: 'labels.txt' }
  const model = await load(t, classifierModel({ classes: [10, 20, 30] }), settings, 'a\nb\n')
  const { label, probabilities } = await answer(model)
  assertObjects(probabilities, ['10', '20', '30'])
  assert.deepEqual(
    label,
    CHOSEN.map((index) => [10, 20, 30][index]),
  )
})

test('the position of the highest score becomes its label; scores stay arrays', async (t) => {
  const model = await load(t, argMaxModel(), { labels: 'labels.txt' })
  const { label, probabilities } = await answer(model)
  assert.deepEqual(
    label,
    CHOSEN.map((index) => SPECIES[index]),
  )
  assertArrays(probabilities)
  const asked = { labels: 'labels.txt', probabilities: 'object' }
  assertObjects((await answer(await load(t, argMaxModel(), asked))).probabilities, SPECIES)
})

test('without labels, and with other numbers of labels, a position stays a number', async (t) => {
  for (const [settings, labels] of [
    [{}, LABELS],
    [{ labels: 'labels.txt' }, 'a\nb\n'],
    [{ labels: 'labels.txt' }, 'a\nb\nc\nd\n'],
  ] as const) {
    const { label } = await answer(await load(t, argMaxModel(), settings, labels))
    assert.deepEqual(label, CHOSEN)
  }
})

test('integers that no classifier computes stay numbers, unless model.json names them', async (t) => {
  const source: ModelSource = {
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 4] }],
    outputs: [
      { name: 'label', type: 'INT64', shape: ['N'] },
      { name: 'probabilities', type: 'FP32', shape: ['N', 4] },
    ],
    nodes: [
      node('ReduceMax', ['x'], 'highest', { axes: [1], keepdims: 0 }),
      node('Cast', ['highest'], 'label', { to: 7 }),
      node('Softmax', ['x'], 'probabilities', { axis: 1 }),
    ],
  }
  const labels = ['zero', 'one', 'two', 'three'].join('\n')
  const settings = { labels: 'labels.txt' }
  assert.deepEqual((await answer(await load(t, source, settings, labels))).label, [0, 2])
  const named = await load(t, source, { ...settings, output: 'label' }, 'zero\none\n')
  assert.deepEqual((await answer(named)).label, ['zero', '2'])
})

test('an ArgMax over the rows is no class', async (t) => {
  const model = await load(t, argMaxModel(0), { labels: 'labels.txt' })
  const [, body] = await ask(model, bodyRequest({ x: ROWS }))
  assert.deepEqual((body as { label: unknown }).label, [0, 0, 1])
})

test('a list of classes that the model looks up by position is found', async (t) => {
  const source = argMaxModel()
  const nodes = source.nodes.map((one) =>
    one.operator === 'ArgMax' ? { ...one, outputs: ['position'] } : one,
  )
  const lookUp = node('ArrayFeatureExtractor', ['classes', 'position'], 'found', {}, 'ai.onnx.ml')
  const shaped = node('Reshape', ['found', 'list'], 'label')
  const model = await load(
    t,
    {
      ...source,
      nodes: [...nodes, lookUp, shaped],
      constants: { ...source.constants, classes: integers(7, 8, 9), list: integers(-1) },
    },
    { labels: 'labels.txt' },
  )
  assert.deepEqual(
    (await answer(model)).label,
    CHOSEN.map((index) => SPECIES[index]),
  )
})

test('labels may have any characters', async (t) => {
  const labels = ['Größe "groß"', '猫', '\u{1F600}\u{10FE41}']
  const model = await load(t, classifierModel({ classes: labels }))
  assertObjects((await answer(model)).probabilities, labels)
  const numbers = await load(t, argMaxModel(), { labels: 'labels.txt' }, labels.join('\n'))
  assert.deepEqual(
    (await answer(numbers)).label,
    CHOSEN.map((index) => labels[index]),
  )
})

test('no row gives an empty list, and rows that share a run their own objects', async (t) => {
  const model = await load(t, classifierModel())
  const [status, none] = await ask(model, {
    headers: [['Tensor-Shape', '0,4']],
    parameters: [{ name: 'body', contentType: 'application/octet-stream', value: Buffer.alloc(0) }],
  })
  assert.deepEqual([status, none], [200, { label: [], probabilities: [] }])
  const [, described] = await ask(model, { headers: [DESCRIBE], parameters: [] })
  assert.equal((described as { batching: { joins: boolean } }).batching.joins, true)
  for (let turn = 0; turn < 2; turn += 1) {
    const requests = ROWS.map((row) => bodyRequest({ x: [row] }))
    for (const [index, { body }] of (await predictAll(model, requests)).entries()) {
      const { label } = JSON.parse(body.toString()) as { label: string[] }
      assert.deepEqual(label, [SPECIES[CHOSEN[index] ?? 0]])
    }
  }
})

test('/v2 has tensors, and ranks classes by their labels', async (t) => {
  const model = await load(t, classifierModel({ classes: [10, 20, 30] }), { labels: 'labels.txt' })
  const input = { name: 'x', datatype: 'FP32', shape: [2, 4], data: ROWS.flat() }
  const all = outputsOf(answerOf(await predict(model, bodyRequest({ inputs: [input] }, '', [V2]))))
  assert.deepEqual(
    all.map(({ name, datatype, shape }) => [name, datatype, shape]),
    [
      ['label', 'INT64', [2]],
      ['probabilities', 'FP32', [2, 3]],
    ],
  )
  assert.deepEqual(
    all[0]?.data,
    CHOSEN.map((index) => [10, 20, 30][index]),
  )
  const outputs = [{ name: 'probabilities', parameters: { classification: 1 } }]
  const ranked = await predict(model, bodyRequest({ inputs: [input], outputs }, '', [V2]))
  const texts = outputsOf(answerOf(ranked))[0]?.data as readonly string[]
  assert.deepEqual(
    texts.map((text) => text.split(':').slice(1)),
    CHOSEN.map((index) => [String(index), SPECIES[index]]),
  )
})

test('/v1 has numbers and arrays, as TensorFlow Serving', async (t) => {
  const model = await load(t, classifierModel({ classes: [0, 1, 2] }), { labels: 'labels.txt' })
  const [status, body] = await ask(model, bodyRequest({ instances: ROWS }, '', [V1]))
  assert.equal(status, 200, JSON.stringify(body))
  const { predictions } = body as { predictions: { label: number; probabilities: number[] }[] }
  assert.deepEqual(
    predictions.map(({ label }) => label),
    CHOSEN,
  )
  assertArrays(predictions.map(({ probabilities }) => probabilities))
})

test('settings that do not fit the model are errors of the load', async (t) => {
  const cases: readonly (readonly [ModelSource, object, RegExp])[] = [
    [argMaxModel(), { probabilities: 'object' }, /but the classes have no labels\.$/],
    [
      argMaxModel(),
      { probabilities: 'object', labels: 'labels.txt', output: 'probability' },
      /^model\.json names output "probability"; the model has /,
    ],
    [
      { ...argMaxModel(), outputs: argMaxModel().outputs.slice(0, 1) },
      { probabilities: 'object', labels: 'labels.txt' },
      /but the model has no output that can only be the scores; set "output"\.$/,
    ],
  ]
  for (const [source, settings, message] of cases) {
    await assert.rejects(load(t, source, settings), { message })
  }
  const few = load(t, argMaxModel(), { probabilities: 'object', labels: 'labels.txt' }, 'a\nb\n')
  await assert.rejects(few, { message: /there are 2 labels for output "probabilities"/ })
})

test('an example of a classifier is loaded by the path of its file', async (t) => {
  const folder = writeModelFolder(temporaryFolder(t), 'one', classifierModel())
  assertObjects(
    (await answer(await loadModel(t, path.join(folder, 'model.onnx')))).probabilities,
    SPECIES,
  )
})
