import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { RequestOptions, TestModel } from '../../../../types/testing.d.ts'
import { loadFolder, loadHandler } from '../../../helpers/handler-folder.ts'
import { tinyTextModel } from '../../../helpers/text-models.ts'

const INPUTS = { a: [[1, 2]], b: [[3, 4]] }
const V2 = {
  id: 'mine',
  inputs: Object.entries(INPUTS).map(([name, data]) => ({
    name,
    datatype: 'FP32',
    shape: [1, 2],
    data,
  })),
  outputs: [{ name: 'sum' }],
}

/** A class with these steps. */
function stepsOf(members: string): string {
  return `import { OnnxHandler, PredictionException, tensor } from 'onnxd/handler'
    export class Steps extends OnnxHandler { ${members} }`
}

async function answerOf(
  model: TestModel,
  body: unknown,
  options?: RequestOptions,
): Promise<[status: number, body: unknown]> {
  const response = await model.predict(body, options)
  return [response.status, await response.json()]
}

test('without own steps it is the built-in handler, in every protocol', async (t) => {
  const model = await loadHandler(t, stepsOf(''))
  const sums = { sum: [[4, 6]], scaled: [[10, 20]] }
  assert.deepEqual(await answerOf(model, INPUTS), [200, sums])
  const instances = { instances: [{ a: [1, 2], b: [3, 4] }] }
  assert.deepEqual(await answerOf(model, instances, { protocol: 'v1' }), [
    200,
    { predictions: [{ sum: [4, 6], scaled: [10, 20] }] },
  ])
  const [status, body] = await answerOf(model, V2, { protocol: 'v2' })
  assert.equal(status, 200)
  const { id, outputs } = body as { id: string; outputs: { name: string; data: number[] }[] }
  assert.equal(id, 'mine')
  assert.deepEqual(
    outputs.map(({ name, data }) => [name, data]),
    [['sum', [4, 6]]],
  )
  const [refused, error] = await answerOf(model, { a: [[1]] }, { protocol: 'v2' })
  assert.equal(refused, 400)
  assert.deepEqual(Object.keys(error as object), ['error'])
  const { inputs } = (await model.describe()) as { inputs: { name: string }[] }
  assert.deepEqual(
    inputs.map(({ name }) => name),
    ['a', 'b'],
  )
})

test('postprocess gets tensors by name, whatever the protocol was', async (t) => {
  const model = await loadHandler(
    t,
    stepsOf(`postprocess({ sum, scaled }, { protocol }, context) {
      context.setResponseHeader(0, 'x-protocol', protocol)
      return { sum: [...sum.data], dims: scaled.dims }
    }`),
  )
  const own = { sum: [4, 6], dims: [1, 2] }
  for (const [body, protocol] of [
    [INPUTS, 'predictions'],
    [{ instances: [{ a: [1, 2], b: [3, 4] }] }, 'v1'],
    [V2, 'v2'],
  ] as const) {
    const response = await model.predict(body, { protocol })
    assert.deepEqual(await response.json(), own)
    assert.equal(response.headers.get('x-protocol'), protocol)
    assert.equal(response.headers.get('content-type'), 'application/json')
  }
})

test('preprocess returns inputs, or a request for the built-in handler', async (t) => {
  const inputs = await loadHandler(
    t,
    stepsOf(`preprocess({ body }) {
      const pair = (list) => tensor('float32', Float32Array.from(list), [1, 2])
      return { a: pair(body.pairs[0]), b: pair(body.pairs[1]) }
    }`),
  )
  const sums = { sum: [[4, 6]], scaled: [[10, 20]] }
  const pairs = { pairs: [INPUTS.a[0], INPUTS.b[0]] }
  assert.deepEqual(await answerOf(inputs, pairs), [200, sums])
  assert.deepEqual(await answerOf(inputs, pairs, { protocol: 'v1' }), [
    200,
    { predictions: [{ sum: [4, 6], scaled: [10, 20] }] },
  ])
  const [status, body] = await answerOf(inputs, pairs, { protocol: 'v2' })
  assert.equal(status, 200)
  assert.equal((body as { outputs: object[] }).outputs.length, 2)
  const request = await loadHandler(
    t,
    stepsOf(
      'preprocess(request) { return request.withBody({ a: [request.body], b: [request.body] }) }',
    ),
  )
  assert.deepEqual(await answerOf(request, [1, 2]), [200, { sum: [[2, 4]], scaled: [[10, 20]] }])
  const changed = await loadHandler(
    t,
    stepsOf(`async preprocess(request) {
      const { a, b } = await request.tensors()
      return { a: b, b: a }
    }`),
  )
  assert.deepEqual(await answerOf(changed, INPUTS), [200, { sum: [[4, 6]], scaled: [[30, 40]] }])
})

test('infer replaces the run of the model, and may use it', async (t) => {
  const model = await loadHandler(
    t,
    stepsOf(`async infer(inputs, request, { model }) {
      const { sum } = await model.run(inputs, ['sum'])
      return { sum: { ...sum, data: sum.data.map((one) => -one) }, scaled: inputs.a }
    }`),
  )
  assert.deepEqual(await answerOf(model, INPUTS), [200, { sum: [[-4, -6]], scaled: [[1, 2]] }])
})

test('one bad request fails alone', async (t) => {
  const model = await loadHandler(
    t,
    stepsOf(`async preprocess(request, context) {
      if (request.body?.deed === 'refuse') throw new PredictionException('Not today.', 422)
      if (request.body?.deed === 'status') throw Object.assign(new Error('Gone.'), { statusCode: 410 })
      if (request.body?.deed === 'break') throw new Error('a secret')
      if (request.body?.deed === 'reject') return Promise.reject('no error')
      if (request.body?.deed === 'nonsense') return { a: 1 }
      if (request.body?.deed === 'header') context.setResponseHeader(0, 'x', ['a', 'list'])
      return request.body?.deed === 'header' ? request.withBody(${JSON.stringify(INPUTS)}) : request
    }`),
    { batchSize: 8 },
  )
  const deeds = ['refuse', 'status', 'break', 'reject', 'nonsense', 'header']
  const bodies: unknown[] = [INPUTS, ...deeds.map((deed) => ({ deed })), { a: 'x' }, '{', INPUTS]
  const contentType = 'application/json'
  const responses = await model.predictBatch(bodies.map((body) => ({ body, contentType })))
  const answers = await Promise.all(
    responses.map(async (one) => [
      one.status,
      ((await one.json()) as { message?: string }).message,
    ]),
  )
  const mistake = [500, 'The handler failed in preprocess.']
  assert.deepEqual(answers.slice(0, 7), [
    [200, undefined],
    [422, 'Not today.'],
    [410, 'Gone.'],
    mistake,
    mistake,
    mistake,
    [
      500,
      'The handler set the response header "x" to a list. A header has one value, which is text.',
    ],
  ])
  assert.deepEqual(
    answers.slice(7).map(([status]) => status),
    [400, 400, 200],
  )
})

test('the requests of a batch share a run', async (t) => {
  const model = await loadHandler(t, stepsOf('postprocess({ sum }) { return sum.data[0] }'), {
    batchSize: 4,
  })
  const body = (first: number): object => ({ a: [[first, 0]], b: [[1, 1]] })
  const responses = await model.predictBatch([1, 2, 3].map((first) => ({ body: body(first) })))
  assert.deepEqual(await Promise.all(responses.map((one) => one.json())), [2, 3, 4])
})

test('nonsense from a step is an error of its request', async (t) => {
  const steps: readonly [code: string, pattern: RegExp][] = [
    ['infer() { return { sum: 1, scaled: 2 } }', /^The handler failed in infer\.$/],
    ['infer(inputs) { return { ...inputs } }', /^The handler failed in infer\.$/],
    ['postprocess() { return 10n }', /^The handler returned no valid response: Unsupported/],
    ['postprocess() {}', /^The handler returned no valid response: Unsupported/],
    [
      'postprocess(outputs, request) { return request.respond({ sum: outputs.sum }) }',
      /^The handler failed in postprocess\.$/,
    ],
    [
      'postprocess(_, __, context) { context.setResponseStatus(7); return 1 }',
      /invalid response status: 7/,
    ],
  ]
  for (const [code, pattern] of steps) {
    const model = await loadHandler(t, stepsOf(code))
    const [status, body] = await answerOf(model, INPUTS)
    assert.equal(status, 500, code)
    assert.match((body as { message: string }).message, pattern, code)
  }
  const model = await loadHandler(t, stepsOf('postprocess() { return [NaN, Infinity] }'))
  assert.deepEqual(await answerOf(model, INPUTS), [200, [null, null]])
})

test('the response of the built-in handler can be changed', async (t) => {
  const model = await loadHandler(
    t,
    stepsOf(`async postprocess(outputs, request, context) {
      const response = await super.postprocess(outputs, request, context)
      if (request.headers['x-plain'] === 'yes') {
        context.setResponseStatus(203, 'Changed')
        context.setResponseHeader(0, 'x-status', response.status)
        return response
      }
      return { ...response.json(), type: response.contentType }
    }`),
  )
  const sums = { sum: [[4, 6]], scaled: [[10, 20]] }
  assert.deepEqual(await answerOf(model, INPUTS), [200, { ...sums, type: 'application/json' }])
  const response = await model.predict(INPUTS, { headers: { 'X-Plain': 'yes' } })
  assert.deepEqual([response.status, response.statusText], [203, 'Changed'])
  assert.equal(response.headers.get('x-status'), '200')
  assert.equal(response.headers.get('content-type'), 'application/json')
  assert.deepEqual(await response.json(), sums)
})

test('a text task: preprocess changes the text, or the steps get tokens', async (t) => {
  const lower = await textModel(
    t,
    'preprocess(request) { return request.withBody(String(request.body).toLowerCase()) }',
  )
  const plain = await textModel(t, '')
  const [, expected] = await answerOf(plain, 'the cat')
  assert.deepEqual(await answerOf(lower, 'THE CAT'), [200, expected])
  const batch = await lower.predictBatch([{ body: 'THE CAT' }, { body: 'the cat' }])
  assert.deepEqual(await Promise.all(batch.map((one) => one.json())), [expected, expected])
  const tokens = await textModel(
    t,
    'postprocess(outputs, request, { model }) { return Object.values(outputs)[0].dims.concat(model.labels) }',
  )
  assert.deepEqual(await answerOf(tokens, { inputs: ['the cat', 'a dog'] }), [
    200,
    [2, 2, 'bad', 'good'],
  ])
})

test('postprocess may stream its response', async (t) => {
  const model = await loadHandler(
    t,
    stepsOf(`async *postprocess({ sum }, request) {
      if (request.headers['x-fail'] === 'yes') throw new Error('too early')
      for (const value of sum.data) yield { value }
    }`),
    { batchSize: 3 },
  )
  const responses = await model.predictBatch([
    { body: INPUTS },
    { body: '{', contentType: 'application/json' },
    { body: INPUTS, headers: { 'X-Fail': 'yes' } },
  ])
  assert.deepEqual(
    responses.map(({ status }) => status),
    [200, 400, 503],
  )
  assert.equal(await responses[0]?.text(), '{"value":4}\n{"value":6}\n')
  const failed = await model.predict(INPUTS, { headers: { 'X-Fail': 'yes' } })
  assert.equal(failed.status, 503)
})

test('a class with steps needs a model', async (t) => {
  const loading = loadHandler(t, stepsOf(''), {}, null)
  await assert.rejects(loading, /A class that extends OnnxHandler needs/)
})

function textModel(t: TestContext, members: string): Promise<TestModel> {
  const folder = tinyTextModel(t, 'texts', {
    suffix: 'ForSequenceClassification',
    labels: ['bad', 'good'],
    graph: 'pooled',
    width: 2,
  })
  writeFileSync(path.join(folder, 'service.mjs'), stepsOf(members))
  return loadFolder(t, folder, { handler: 'service.mjs', batchSize: 4 })
}
