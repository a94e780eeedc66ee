/** Classifiers whose probabilities are maps in the file, over HTTP: responses and documents. */
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { SPECIES, classifierModel, expectedScores } from '../helpers/classifier-models.ts'
import { failedModels } from '../helpers/observe.ts'
import { node, writeModelFolder } from '../helpers/onnx-builder.ts'
import type { ModelSource } from '../helpers/onnx-builder.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const ROW = [0, 0.125, 2, 1]
const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(async () => {
  for (const run of cleanups) await run()
})

const SEQUENCE: ModelSource = {
  inputs: [{ name: 'x', type: 'FP32', shape: ['N', 4] }],
  outputs: [
    { name: 'y', type: 'FP32', shape: ['N', 4] },
    { name: 'parts', type: 'FP32', kind: 'sequence' },
  ],
  nodes: [node('Relu', ['x'], 'y'), node('SequenceConstruct', ['x', 'y'], 'parts')],
}
const folder = temporaryFolder(cleanup)
const write = (name: string, source: ModelSource, settings: object = {}): string =>
  writeModelFolder(folder, name, source, { 'model.json': JSON.stringify(settings) })
const MODELS = [
  write('species', classifierModel()),
  write('numbers', classifierModel({ classes: [1, 2, 3] })),
  write('arrays', classifierModel(), { probabilities: 'array' }),
  write('sequence', SEQUENCE),
  write('none', { ...SEQUENCE, outputs: SEQUENCE.outputs.slice(1) }),
]

async function predict(server: TestServer, model: string): Promise<unknown> {
  const body = JSON.stringify({ x: [ROW] })
  const headers = { 'content-type': 'application/json' }
  const answer = await server.fetch(`/predictions/${model}`, { method: 'POST', body, headers })
  assert.equal(answer.status, 200, model)
  return json(answer)
}

async function metadataOf(server: TestServer, model: string): Promise<Record<string, unknown>> {
  const described = await json(await server.manage(`/models/${model}`))
  return (described as { metadata: Record<string, unknown> }).metadata
}

async function outputSchema(server: TestServer, model: string): Promise<Record<string, unknown>> {
  const document = (await json(await server.fetch(`/v2/models/${model}/openapi.json`))) as {
    components: { schemas: Record<string, { properties: Record<string, unknown> }> }
  }
  const name = `${model[0]?.toUpperCase()}${model.slice(1)}PredictResponse`
  return document.components.schemas[name]?.properties ?? {}
}

test('maps are objects in responses, and in the types of the document', async () => {
  const server = await sharedServer(MODELS)
  const scores = expectedScores(ROW).map((value) => value.toFixed(5))
  const shown = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value), (_key, one: unknown) =>
      typeof one === 'number' && !Number.isInteger(one) ? one.toFixed(5) : one,
    )
  const [setosa, versicolor, virginica] = scores
  assert.deepEqual(shown(await predict(server, 'species')), {
    label: ['virginica'],
    probabilities: [{ setosa, versicolor, virginica }],
  })
  const [one, two, three] = scores
  assert.deepEqual(shown(await predict(server, 'numbers')), {
    label: [3],
    probabilities: [{ 1: one, 2: two, 3: three }],
  })
  assert.deepEqual(shown(await predict(server, 'arrays')), {
    label: ['virginica'],
    probabilities: [scores],
  })
  const score = { type: ['number', 'null'], format: 'float' }
  const { label, probabilities } = await outputSchema(server, 'species')
  assert.deepEqual((label as { items: unknown }).items, { type: 'string', enum: SPECIES })
  assert.deepEqual((probabilities as { items: unknown }).items, {
    type: 'object',
    description: 'The score of each class, by label.',
    required: SPECIES,
    properties: { setosa: score, versicolor: score, virginica: score },
  })
  const numbers = (await outputSchema(server, 'numbers')) as Record<string, { items: unknown }>
  assert.deepEqual(numbers['label']?.items, { type: 'integer', format: 'int64' })
  assert.deepEqual(numbers['probabilities']?.items, {
    type: 'object',
    description: 'The score of each class, by label. Labels: 1, 2, 3.',
    additionalProperties: score,
  })
  const arrays = (await outputSchema(server, 'arrays')) as Record<string, { items: unknown }>
  const columns = arrays['probabilities']?.items as { items: unknown } | undefined
  assert.deepEqual(columns?.items, score)
})

test('/v2 describes and returns a tensor in place of the maps; /models has the labels', async () => {
  const server = await sharedServer(MODELS)
  const described = (await json(await server.fetch('/v2/models/species'))) as { outputs: unknown }
  assert.deepEqual(described.outputs, [
    { name: 'label', datatype: 'BYTES', shape: [-1] },
    { name: 'probabilities', datatype: 'FP32', shape: [-1, 3] },
  ])
  const metadata = await metadataOf(server, 'species')
  assert.deepEqual(metadata['outputs'], [
    { name: 'label', datatype: 'BYTES', shape: [-1], dimensions: [''], labels: SPECIES },
    {
      name: 'probabilities',
      datatype: 'FP32',
      shape: [-1, 3],
      dimensions: ['', 3],
      labels: SPECIES,
      form: 'object',
    },
  ])
  assert.ok(!('notServed' in metadata))
  const data = { name: 'x', datatype: 'FP32', shape: [1, 4], data: ROW }
  const outputs = [{ name: 'probabilities', parameters: { classification: 2 } }]
  const answer = await server.fetch('/v2/models/species/infer', {
    method: 'POST',
    body: JSON.stringify({ inputs: [data], outputs }),
  })
  const [ranked] = ((await json(answer)) as { outputs: { data: string[] }[] }).outputs
  assert.deepEqual(
    ranked?.data.map((text) => text.replace(/^[\d.]+/, 'score')),
    ['score:2:virginica', 'score:1:versicolor'],
  )
})

test('an output that is not a tensor is listed with a reason and a remedy', async () => {
  const server = await sharedServer(MODELS)
  assert.deepEqual(await predict(server, 'sequence'), { y: [[0, 0.125, 2, 1]] })
  assert.deepEqual((await metadataOf(server, 'sequence'))['notServed'], [
    {
      name: 'parts',
      reason: 'It is a sequence; only tensors are served.',
      remedy: 'Convert it in the model, for example with the operator ConcatFromSequence.',
    },
  ])
})

test('a model without a tensor as output fails to load, and the reason is listed', async () => {
  const server = await sharedServer(MODELS)
  const [failed] = await failedModels(server)
  assert.match(
    failed?.reason ?? '',
    /: The model has no tensor as output\. Output "parts": It is a sequence; only tensors are served\./,
  )
})
