import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { loadModel } from '../../src/testing/testing.ts'
import { handlerFolder, loadFolder, loadHandler } from '../helpers/handler-folder.ts'

const FLOWER = { sepalLength: 5.8, sepalWidth: 2.7, petalLength: 5.1, petalWidth: 1.9 }

test('a handler and its model run in the process of the test', async (t) => {
  const folder = path.resolve('examples/handlers/flowers')
  const model = await loadFolder(t, folder)
  const response = await model.predict(FLOWER)
  assert.equal(response.status, 200)
  const { species } = (await response.json()) as { species: string }
  assert.equal(species, 'virginica')
  const again = await loadModel(pathToFileURL(folder))
  assert.equal((await again.predict(FLOWER)).status, 200)
  await again.close()
})

test('a model without a handler works too', async (t) => {
  const model = await loadFolder(t, path.resolve('examples/iris'))
  const response = await model.predict({ features: [[5.8, 2.7, 5.1, 1.9]] })
  const { label } = (await response.json()) as { label: string[] }
  assert.deepEqual(label, ['virginica'])
  const { name } = (await model.describe()) as { name: string }
  assert.equal(name, 'iris')
})

test('a handler gets bodies, fields and headers as from the server', async (t) => {
  const model = await loadHandler(
    t,
    `export function handle(data, context) {
      return data?.map(({ body, word }, index) => ({
        kind: Buffer.isBuffer(body) ? 'bytes' : typeof body,
        body: String(body),
        word: word && word.toString(),
        type: context.getAllRequestHeader(index)['content-type'],
        id: context.getRequestHeader(index, 'X-Id'),
        size: context.systemProperties.batchSize,
      }))
    }`,
    { batchSize: 3 },
  )
  const answer = async (...request: Parameters<typeof model.predict>): Promise<unknown> =>
    (await model.predict(...request)).json()
  const none = { size: 3 }
  assert.deepEqual(await answer('text'), {
    kind: 'string',
    body: 'text',
    type: 'text/plain',
    ...none,
  })
  assert.deepEqual(await answer(new Uint8Array([65]), { headers: { 'X-Id': 'me' } }), {
    kind: 'bytes',
    body: 'A',
    id: 'me',
    ...none,
  })
  assert.deepEqual(await answer([1], { contentType: 'application/json' }), {
    kind: 'object',
    body: '1',
    type: 'application/json',
    ...none,
  })
  assert.deepEqual(await answer(undefined, { fields: { word: 'dog' } }), {
    kind: 'undefined',
    body: 'undefined',
    word: 'dog',
    ...none,
  })
})

test('an error is the response that a client would get', async (t) => {
  const model = await loadHandler(
    t,
    `export function handle(data, context) {
      if (data?.[0].body === 'status') throw new context.PredictionException('Too early.', 425)
      if (data !== undefined) throw new Error('a secret')
    }`,
  )
  const failed = await model.predict('x')
  const error = { code: 503, type: 'InternalServerException', message: 'Prediction failed' }
  assert.deepEqual([failed.status, await failed.json()], [503, error])
  assert.equal((await model.predict('status')).status, 425)
})

test('calls at the same time run one after another', async (t) => {
  const model = await loadHandler(
    t,
    `let running = 0
    export async function handle(data) {
      if (data === undefined) return
      const before = running++
      await new Promise((resolve) => setTimeout(resolve, 5))
      running--
      return data.map(() => before)
    }`,
  )
  const responses = await Promise.all([model.predict('a'), model.predict('b'), model.predict('c')])
  assert.deepEqual(await Promise.all(responses.map((one) => one.json())), [0, 0, 0])
})

test('a model that cannot be loaded gives the reason of the server', async (t) => {
  const folder = handlerFolder(t, { 'service.mjs': "throw new Error('not today')" })
  await assert.rejects(loadModel(folder, { handler: 'service.mjs' }), /not today/)
  await assert.rejects(loadModel(folder, { handler: 'other.mjs' }), /has no other\.mjs/)
  await assert.rejects(loadModel(path.join(folder, 'none')), /ENOENT/)
})
