/** The management listener: register, list, describe, unregister, and who may. */
import assert from 'node:assert/strict'
import { appendFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { modelNames } from '../helpers/observe.ts'
import { childrenOf, json, serve, temporaryFolder, until } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')
const flower = JSON.stringify({ features: [[5.1, 3.5, 1.4, 0.2]] })

test('a model of the store is registered, listed, described, used and unregistered', async (t) => {
  const store = temporaryFolder(t)
  cpSync(iris, path.join(store, 'iris'), { recursive: true })
  const server = await serve(t, [], { modelStore: store, load: 'none' })
  assert.deepEqual(childrenOf(server.pid), [])
  const registered = await server.manage('/models?url=iris&initial_workers=2&batch_size=4', {
    method: 'POST',
  })
  assert.deepEqual([registered.status, await json(registered)], [200, { status: 'Workers scaled' }])
  assert.deepEqual(await json(await server.manage('/models')), {
    models: [{ modelName: 'iris', modelUrl: 'iris' }],
  })

  const description = (await json(await server.manage('/models/iris'))) as Record<
    string,
    unknown
  > & { workers: Record<string, unknown>[] }
  assert.deepEqual(
    [
      description.modelName,
      description.minWorkers,
      description.batchSize,
      description.loadedAtStartup,
      description.status,
    ],
    ['iris', 2, 4, false, 'READY'],
  )
  assert.equal(description.workers.length, 2)
  for (const worker of description.workers) {
    assert.equal(worker.status, 'READY')
    assert.ok(Number(worker.memoryUsage) > 10_000_000)
    const { privateMemory, sharedMemory, proportionalMemory } = worker
    assert.ok(Number(privateMemory) > 1_000_000 && Number(sharedMemory) > 1_000_000)
    assert.ok(Number(proportionalMemory) > Number(privateMemory))
    assert.ok(Number(proportionalMemory) < Number(worker.memoryUsage) + 1_000_000)
  }
  assert.deepEqual((description.metadata as { inputs: unknown[] }).inputs.length, 1)

  const predict = (): Promise<Response> =>
    server.fetch('/predictions/iris', {
      method: 'POST',
      body: flower,
      headers: { 'content-type': 'application/json' },
    })
  assert.equal((await predict()).status, 200)
  const removed = await server.manage('/models/iris', { method: 'DELETE' })
  assert.deepEqual(
    [removed.status, await json(removed)],
    [200, { status: 'Model "iris" unregistered' }],
  )
  assert.equal((await predict()).status, 404)
  assert.deepEqual(await json(await server.manage('/models')), { models: [] })
  await until(() => childrenOf(server.pid).length === 0)
})

test('registration takes JSON as well, under another name, and in the background', async (t) => {
  const server = await serve(t, [], { allowLocalPaths: true })
  const post = (body: object): Promise<Response> =>
    server.manage('/models?url=ignored', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  assert.equal((await post({ url: iris, model_name: 'flowers', initial_workers: '1' })).status, 200)
  const later = await post({ url: iris, model_name: 'later', synchronous: false })
  assert.deepEqual(
    [later.status, await json(later)],
    [202, { status: 'Processing worker updates...' }],
  )
  const early = await server.fetch('/predictions/later', { method: 'POST', body: flower })
  if (early.status !== 200) {
    const reason = (await json(early)) as { code: number; message: string }
    assert.deepEqual([reason.code, reason.message], [503, 'Model later is being loaded.'])
  }
  await until(async () => (await modelNames(server)).includes('later'))
  const none = await post({ url: iris, model_name: 'idle', initial_workers: 0 })
  assert.deepEqual([none.status, await json(none)], [200, { status: 'Model "idle" registered' }])
  const unserved = await server.fetch('/predictions/idle', { method: 'POST', body: flower })
  assert.equal(unserved.status, 503)
  assert.deepEqual(await modelNames(server), ['flowers', 'idle', 'later'])
})

test('a model that cannot be registered is rejected with the status of MMS, and nothing is left', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'broken.onnx'), 'no model')
  cpSync(iris, path.join(store, 'iris'), { recursive: true })
  const code = handlerModel(t, 'code')
  mkdirSync(path.join(store, 'empty'))
  cpSync(code, path.join(store, 'code'), { recursive: true })
  const server = await serve(t, [], { modelStore: store })
  const before = childrenOf(server.pid).length
  const failures: [query: string, status: number, type: string, message: RegExp][] = [
    ['', 400, 'BadRequestException', /^Parameter url is required\.$/],
    ['url=absent', 404, 'ModelNotFoundException', /^Model not found in model store: absent$/],
    ['url=../etc/passwd', 404, 'ModelNotFoundException', /^Relative path is not allowed in url: /],
    ['url=/etc/passwd', 404, 'ModelNotFoundException', /not found in model store/],
    ['url=broken.onnx', 400, 'InvalidModelException', /^Failed to start workers: /],
    ['url=empty', 400, 'InvalidModelException', /./],
    ['url=code', 403, 'HandlersNotAllowedException', /--allow-handlers/],
    ['url=iris', 409, 'ConflictStatusException', /^Model iris is already registered\.$/],
    ['url=iris&model_name=a/b', 400, 'BadRequestException', /name/i],
    ['url=iris&model_name=b&batch_size=0', 400, 'BadRequestException', /batch_size/],
    ['url=iris&model_name=b&initial_workers=1e9', 400, 'BadRequestException', /initial_workers/],
    ['url=http://127.0.0.1:1/x.onnx&model_name=b', 403, 'BadRequestException', /./],
  ]
  for (const [query, status, type, message] of failures) {
    const answer = await server.manage(`/models?${query}`, { method: 'POST' })
    const body = (await json(answer)) as { code: number; type: string; message: string }
    assert.deepEqual([answer.status, body.code], [status, status], `${query}: ${body.message}`)
    if (!query.includes('http')) assert.equal(body.type, type, query)
    assert.match(body.message, message, query)
    assert.ok(!body.message.includes(store), `${query} tells a path: ${body.message}`)
  }
  assert.deepEqual(await modelNames(server), ['iris'])
  assert.equal(childrenOf(server.pid).length, before)
  const second = await server.manage('/models/absent', { method: 'DELETE' })
  assert.equal(second.status, 404)
})

test('alive, ready and ready for one model are three statuses, and failed models are listed with the reason', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(path.join(folder, 'broken.onnx'), 'no model')
  const tool = handlerModel(t, 'tool')
  const server = await serve(t, [tool, path.join(folder, 'broken.onnx')], {
    allowHandlers: true,
    allowLocalPaths: true,
  })
  const get = async (route: string): Promise<[number, unknown]> => {
    const answer = await server.fetch(route)
    return [answer.status, await json(answer)]
  }
  assert.deepEqual(await get('/v2/health/live'), [200, { live: true }])
  assert.deepEqual(await get('/v2/health/ready'), [200, { ready: true }])
  assert.deepEqual(await get('/v2/models/tool/ready'), [200, { name: 'tool', ready: true }])
  assert.deepEqual(await get('/v2/models/tool/versions/1.0/ready'), [
    200,
    { name: 'tool', ready: true },
  ])
  assert.deepEqual(await get('/v2/models/absent/ready'), [
    404,
    { error: "Request for unknown model: 'absent' is not found" },
  ])
  assert.deepEqual(await get('/v2/models/tool/versions/7/ready'), [
    404,
    { error: "Request for unknown model: 'tool' version 7 is not found" },
  ])

  const failed = async (): Promise<{ modelUrl: string; reason: string }[]> =>
    (
      (await json(await server.manage('/models'))) as {
        failed?: { modelUrl: string; reason: string }[]
      }
    ).failed ?? []
  assert.match((await failed())[0]?.reason ?? '', /^Failed to start workers: /)
  const later = await server.manage(`/models?url=${folder}/broken.onnx&synchronous=false`, {
    method: 'POST',
  })
  assert.equal(later.status, 202)
  await server.logged(({ msg }) => msg === 'registration failed')
  cpSync(path.join(iris, 'model.onnx'), path.join(folder, 'broken.onnx'))
  await until(
    async () =>
      (
        await server.manage(`/models?url=${folder}/broken.onnx&model_name=mended`, {
          method: 'POST',
        })
      ).status === 200,
  )
  assert.deepEqual(await failed(), [])

  // Its files changed, so the worker that ends is not replaced. With several HTTP processes, one of
  // them has no worker then, and each of them says so, on whichever connection it is asked.
  appendFileSync(path.join(tool, 'service.mjs'), '// changed')
  const ending = { method: 'POST', body: 'exit:1', headers: { 'content-type': 'text/plain' } }
  assert.equal((await server.fetch('/predictions/tool', ending)).status, 500)
  await until(async () => (await get('/v2/models/tool/ready'))[0] === 503)
  const eachTime = async (route: string, status: number, body: unknown): Promise<void> => {
    for (let round = 0; round < 6; round += 1) {
      const answer = await server.fetch(route, { headers: { connection: 'close' } })
      // The process that has a worker says that another one has none.
      const { reason, ...seen } = (await json(answer)) as { reason?: string }
      assert.ok(reason?.startsWith('Another HTTP process') !== false, reason)
      assert.deepEqual([answer.status, seen], [status, body], route)
    }
  }
  await eachTime('/v2/health/ready', 503, { ready: false })
  await eachTime('/v2/models/tool/ready', 503, { name: 'tool', ready: false })
  await eachTime('/v1/models/tool', 503, { name: 'tool', ready: false })
  await eachTime('/ping', 200, { status: 'Partial Healthy' })
  await eachTime('/v2/health/live', 200, { live: true })
  await eachTime('/v2/models/mended/ready', 200, { name: 'mended', ready: true })
})
