/** Models that come over the network, and what a restart remembers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { modelNames } from '../helpers/observe.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')
const network = readFileSync(path.join(iris, 'model.onnx'))
const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}

function form(fields: Record<string, string>, file: Buffer, fileName = 'flowers.onnx'): FormData {
  const data = new FormData()
  for (const [name, value] of Object.entries(fields)) data.set(name, value)
  data.set('model', new Blob([file]), fileName)
  return data
}

const upload = (server: TestServer, body: FormData): Promise<Response> =>
  server.manage('/models', { method: 'POST', body })
const deliveries = (state: string): string[] =>
  existsSync(path.join(state, 'models')) ? readdirSync(path.join(state, 'models')) : []

test('a model is uploaded with its parameters, served, and gone with its file when it is unregistered', async (t) => {
  const state = temporaryFolder(t)
  const server = await serve(t, [], { stateDir: state })
  const answer = await upload(server, form({ model_name: 'uploaded', batch_size: '4' }, network))
  assert.deepEqual([answer.status, await json(answer)], [200, { status: 'Workers scaled' }])
  const description = (await json(await server.manage('/models/uploaded'))) as {
    batchSize: number
    modelUrl: string
  }
  assert.deepEqual([description.batchSize, description.modelUrl], [4, 'flowers.onnx'])
  assert.equal((await server.fetch('/predictions/uploaded', FLOWER)).status, 200)
  assert.equal((await upload(server, form({}, network))).status, 200)
  assert.equal((await server.fetch('/predictions/flowers', FLOWER)).status, 200)
  assert.equal(deliveries(state).length, 2)
  for (const name of ['uploaded', 'flowers'])
    assert.equal((await server.manage(`/models/${name}`, { method: 'DELETE' })).status, 200)
  assert.deepEqual(deliveries(state), [])
})

test('an upload that cannot be served is refused and leaves no file', async (t) => {
  const state = temporaryFolder(t)
  const server = await serve(t, [], { stateDir: state, maxModelBytes: 5000 })
  const cases: [FormData, number][] = [
    [form({ model_name: 'x' }, Buffer.from('no model')), 400],
    [form({ model_name: 'x', batch_size: '0' }, network), 400],
    [form({ model_name: '../x' }, network), 400],
    [form({ model_name: 'x' }, network, 'x.txt'), 400],
    [form({ model_name: 'x' }, Buffer.alloc(5001)), 413],
  ]
  for (const [body, status] of cases) {
    const refused = await upload(server, body)
    assert.equal(refused.status, status, await refused.text())
  }
  assert.equal((await upload(server, form({ model_name: 'x' }, network))).status, 200)
  assert.equal((await upload(server, form({ model_name: 'x' }, network))).status, 409)
  await until(() => deliveries(state).length === 1)
  assert.deepEqual(await modelNames(server), ['x'])
})

/** A server that hands out the example model. */
async function origin(t: TestContext): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    if (request.url === '/iris.onnx') response.end(network)
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, requests }
}

test('a model is downloaded from an allowed origin only, and checked against its digest', async (t) => {
  const { url, requests } = await origin(t)
  const closed = await serve(t, [])
  const register = (server: TestServer, query: string): Promise<Response> =>
    server.manage(`/models?${query}`, { method: 'POST' })
  assert.equal((await register(closed, `url=${url}/iris.onnx`)).status, 403)
  const guarded = await serve(t, [], { allowedOrigins: [url] })
  assert.equal((await register(guarded, `url=${url}/iris.onnx`)).status, 403)
  assert.deepEqual(requests, [])

  const server = await serve(t, [], { allowedOrigins: [url], allowPrivateAddresses: true })
  assert.equal((await register(server, `url=${url}/absent.onnx`)).status, 400)
  assert.equal(
    (await register(server, `url=${url}/iris.onnx&sha256=${'0'.repeat(64)}`)).status,
    400,
  )
  const registered = await register(server, `url=${url}/iris.onnx`)
  assert.equal(registered.status, 200, await registered.text())
  assert.equal((await server.fetch('/predictions/iris', FLOWER)).status, 200)
})

test(
  'what was registered is served again after the server was killed: names, versions, defaults, settings, files',
  { timeout: 90_000 },
  async (t) => {
    const state = temporaryFolder(t)
    const start = (): Promise<TestServer> =>
      serve(t, [], { stateDir: state, allowLocalPaths: true })
    const post = async (
      server: TestServer,
      route: string,
      init: RequestInit = { method: 'POST' },
    ): Promise<number> => (await server.manage(route, init)).status

    const first = await start()
    assert.equal(
      await post(first, `/models?url=${iris}&model_name=flowers&model_version=1&batch_size=7`),
      200,
    )
    assert.equal(await post(first, `/models?url=${iris}&model_name=flowers&model_version=2`), 200)
    assert.equal(await post(first, '/models/flowers/2/set-default', { method: 'PUT' }), 200)
    assert.equal(
      await post(first, '/models', {
        method: 'POST',
        body: form({ model_name: 'uploaded' }, network),
      }),
      200,
    )
    assert.equal(await post(first, `/models?url=${iris}&model_name=gone`), 200)
    assert.equal(await post(first, '/models/gone', { method: 'DELETE' }), 200)
    assert.equal(
      await post(first, '/models/uploaded?min_worker=2&synchronous=true', { method: 'PUT' }),
      200,
    )
    const describe = async (server: TestServer, route: string): Promise<unknown> => {
      const found = (await json(await server.manage(route))) as Record<string, unknown>[]
      return found.map(({ modelVersion, batchSize, minWorkers }) => ({
        modelVersion,
        batchSize,
        minWorkers,
      }))
    }
    const before = [
      await describe(first, '/models/flowers/all'),
      await describe(first, '/models/uploaded/all'),
    ]
    await first.kill()

    const second = await start()
    assert.deepEqual(
      [
        await describe(second, '/models/flowers/all'),
        await describe(second, '/models/uploaded/all'),
      ],
      before,
    )
    assert.equal(
      ((await json(await second.manage('/models/flowers'))) as { modelVersion: string })
        .modelVersion,
      '2',
    )
    assert.equal((await second.fetch('/predictions/uploaded', FLOWER)).status, 200)
    assert.equal((await second.fetch('/predictions/gone', FLOWER)).status, 404)
    await second.kill()

    // A model whose file is damaged is listed as failed. The other models are still served.
    const [kept = ''] = deliveries(state)
    for (const name of readdirSync(path.join(state, 'models', kept)))
      writeFileSync(path.join(state, 'models', kept, name), 'damaged')
    const third = await start()
    const list = (await json(await third.manage('/models'))) as {
      models: unknown[]
      failed: unknown[]
    }
    assert.deepEqual([list.models.length, list.failed.length], [1, 1])
    assert.equal((await third.fetch('/predictions/flowers', FLOWER)).status, 200)
    assert.equal(await post(third, '/models/uploaded', { method: 'DELETE' }), 200)
    await third.kill()
    const fourth = await start()
    assert.deepEqual(
      ((await json(await fourth.manage('/models'))) as { failed?: unknown }).failed,
      undefined,
    )
    await fourth.kill()
  },
)
