import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
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

test('of numbered versions the highest is loaded, with the name of the model', async (t) => {
  const code = (version: number): string => `export function handle(data, context) {
    return data?.map(() => ({ version: ${version}, name: context.modelName }))
  }`
  const folder = handlerFolder(
    t,
    {
      'model.json': { handler: 'service.mjs' },
      '2/service.mjs': code(2),
      '10/service.mjs': code(10),
      'notes/service.mjs': code(11),
    },
    null,
  )
  const name = path.basename(folder)
  const newest = await loadFolder(t, folder)
  assert.deepEqual(await (await newest.predict()).json(), { version: 10, name })
  const older = await loadFolder(t, path.join(folder, '2'))
  assert.deepEqual(await (await older.predict()).json(), { version: 2, name })
})

test('a handler calls other models, or functions in their place', async (t) => {
  const iris = await loadFolder(t, path.resolve('examples/iris'))
  const caller = await loadHandler(
    t,
    `export async function handle(data, { server }) {
      if (data === undefined) return
      return Promise.all(data.map(({ body: { model, value, options } }, index) =>
        server.predict(model, value, { index, ...options })
          .then((result) => ({ result }), ({ code, message }) => ({ code, message }))))
    }`,
    {
      models: {
        iris,
        later: async (data, { protocol }) => ({ data, protocol }),
        failing: () => {
          throw Object.assign(new Error('Not now.'), { code: 503 })
        },
      },
    },
  )
  const ask = async (body: object): Promise<unknown> => (await caller.predict(body)).json()
  const features = [[5.8, 2.7, 5.1, 1.9]]
  const { result } = (await ask({ model: 'iris', value: { features } })) as { result: unknown }
  assert.deepEqual((result as { label: unknown }).label, ['virginica'])
  const v1 = { model: 'iris', value: { instances: features }, options: { protocol: 'v1' } }
  assert.deepEqual(Object.keys(((await ask(v1)) as { result: object }).result), ['predictions'])
  assert.deepEqual(await ask({ model: 'later', value: 'text', options: { protocol: 'v2' } }), {
    result: { data: 'text', protocol: 'v2' },
  })
  assert.deepEqual(await ask({ model: 'failing', value: 1 }), { code: 503, message: 'Not now.' })
  const wrong = (await ask({ model: 'iris', value: { features: [[1]] } })) as { code: number }
  assert.equal(wrong.code, 400)
  const { code, message } = (await ask({ model: 'other', value: 1 })) as Record<string, unknown>
  assert.deepEqual(
    [code, String(message)],
    [404, 'Model "other" is not in the option "models" of loadModel.'],
  )
})

test('a test prints no metrics', async (t) => {
  const folder = handlerFolder(t, {
    'service.mjs': `export function handle(data, context) {
      context.metrics.addCounter('Mine', 1)
      return data
    }`,
    'run.test.mjs': `import { test } from 'node:test'
      import { loadModel } from '${pathToFileURL(path.resolve('dist/testing/testing.js')).href}'
      test('runs', async () => {
        const model = await loadModel(new URL('.', import.meta.url), { handler: 'service.mjs' })
        await model.predict('a')
        await model.close()
      })`,
  })
  const args = ['--test', path.join(folder, 'run.test.mjs')]
  // With this variable, the test runner would run nothing.
  const { NODE_TEST_CONTEXT: _ofThisTest, ...env } = process.env
  const { status, stdout } = spawnSync(process.execPath, args, { env, encoding: 'utf8' })
  assert.equal(status, 0, stdout)
  assert.match(stdout, /pass 1/)
  assert.ok(!stdout.includes('[METRICS]'), stdout)
})

test('config.pbtxt has no effect in a test', async (t) => {
  const folder = handlerFolder(t, { 'config.pbtxt': 'max_batch_size: 1\n' })
  const model = await loadFolder(t, folder)
  const rows = [
    [1, 2],
    [3, 4],
  ]
  // A server would reject two rows.
  const response = await model.predict({ a: rows, b: rows })
  assert.equal(response.status, 200)
})
