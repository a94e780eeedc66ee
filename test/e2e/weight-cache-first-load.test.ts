/** The first load of a model, while the weight cache has no entry for it. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { oneProcess } from '../helpers/http-processes.ts'
import { workersOf } from '../helpers/observe.ts'
import { endlessModel } from '../helpers/onnx-files.ts'
import { childrenOf, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { entriesIn, unfinishedIn } from '../helpers/weight-cache.ts'
import { layers } from '../helpers/weight-models.ts'

const WIDTH = 256
const PREPARED = 'the next load shares the weights of the model'

/** A model file, and settings for one worker with an empty cache. */
function placeFor(t: TestContext, bytes: Buffer) {
  const folder = temporaryFolder(t)
  const model = path.join(folder, 'm.onnx')
  writeFileSync(model, bytes)
  const cacheDir = path.join(folder, 'cache')
  const settings = { weightCache: 'auto', weightCacheMinMib: 0, cacheDir, workers: 1 } as const
  return { model, cacheDir, settings }
}

async function weightsOf(
  server: TestServer,
  model = 'm',
): Promise<{ state: string; reason?: string }> {
  const [first] = (await json(await server.manage(`/models/${model}/all`))) as [
    { weights: { state: string } },
  ]
  return first.weights
}

/** Which form each worker runs. */
async function forms(server: TestServer): Promise<unknown[]> {
  return (await workersOf(server, 'm')).map((worker) => 'weights' in worker && worker.weights)
}

async function outputs(server: TestServer, requests = 4): Promise<string[]> {
  const data = Array.from({ length: WIDTH }, (_, index) => (index % 7) - 3)
  const body = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data }],
  })
  const texts = await Promise.all(
    Array.from({ length: requests }, async () => {
      const answer = await server.fetch('/v2/models/m/infer', { method: 'POST', body })
      assert.equal(answer.status, 200)
      return JSON.stringify(((await json(answer)) as { outputs: unknown }).outputs)
    }),
  )
  return [...new Set(texts)]
}

test(
  'one worker serves at once; an unload ends the build of the entry',
  { skip: oneProcess('its first worker') },
  async (t) => {
    // The run never ends, so the check of the results does not end either.
    const { model, cacheDir, settings } = placeFor(t, endlessModel())
    const server = await serve(t, [model], { ...settings, warmUp: false, loadTimeout: 600 })
    const loaded = await server.logged(({ msg }) => msg === 'model loaded')
    assert.equal(loaded.cached, false)
    const [worker] = await workersOf(server, 'm')
    const builder = await until(() => childrenOf(server.pid).find((pid) => pid !== worker?.pid))
    await until(() => existsSync(cacheDir) && unfinishedIn(cacheDir).length === 1)
    assert.deepEqual(await weightsOf(server), {
      state: 'pending',
      reason: 'Workers load the original model until shared weights are prepared.',
    })
    assert.deepEqual(await forms(server), ['private'])
    const removed = await server.manage('/models/m', { method: 'DELETE' })
    assert.equal(removed.status, 200)
    await until(() => !childrenOf(server.pid).includes(builder))
    await until(() => unfinishedIn(cacheDir).length === 0)
    assert.deepEqual(entriesIn(cacheDir), [])
  },
)

test(
  'further workers, restarts and the next start use the entry that was built meanwhile',
  { skip: oneProcess('its first worker') },
  async (t) => {
    const { model, cacheDir, settings } = placeFor(t, layers(WIDTH, 4))
    const server = await serve(t, [model], settings)
    const expected = await outputs(server)
    assert.equal(expected.length, 1)
    await server.logged(({ msg }) => msg === PREPARED)
    assert.equal(entriesIn(cacheDir).length, 1)
    assert.equal((await weightsOf(server)).state, 'shared')
    assert.deepEqual(await forms(server), ['private'])

    const query = 'min_worker=2&max_worker=2&synchronous=true'
    assert.equal((await server.manage(`/models/m?${query}`, { method: 'PUT' })).status, 200)
    assert.deepEqual(await forms(server), ['private', 'shared'])
    assert.deepEqual(await outputs(server, 8), expected)

    const [first] = await workersOf(server, 'm')
    assert.ok(first !== undefined)
    process.kill(first.pid, 'SIGKILL')
    await until(async () => {
      const now = await workersOf(server, 'm')
      return now.every(({ pid, status }) => status === 'READY' && pid !== first.pid)
    })
    assert.deepEqual(await forms(server), ['shared', 'shared'])
    for (const { pid } of await workersOf(server, 'm'))
      assert.match(readFileSync(`/proc/${pid}/maps`, 'utf8'), /weights\.bin/)
    assert.deepEqual(await outputs(server, 8), expected)
    await server.close()

    const next = await serve(t, [model], settings)
    const loaded = await next.logged(({ msg }) => msg === 'model loaded')
    assert.equal(loaded.cached, true)
    assert.deepEqual(await forms(next), ['shared'])
    assert.deepEqual(await outputs(next), expected)
  },
)

test(
  'a stop of the server ends a build at once',
  { skip: oneProcess('its first worker') },
  async (t) => {
    const { model, cacheDir, settings } = placeFor(t, endlessModel())
    const server = await serve(t, [model], { ...settings, warmUp: false, loadTimeout: 600 })
    await until(() => existsSync(cacheDir) && unfinishedIn(cacheDir).length === 1)
    await server.close()
    assert.deepEqual(unfinishedIn(cacheDir), [])
  },
)

test('two versions with the same files build one entry', async (t) => {
  const { model, cacheDir, settings } = placeFor(t, layers(WIDTH, 4))
  const server = await serve(t, [model], { ...settings, allowLocalPaths: true })
  const url = encodeURIComponent(model)
  const query = `url=${url}&model_name=n&initial_workers=1&synchronous=true`
  assert.equal((await server.manage(`/models?${query}`, { method: 'POST' })).status, 200)
  for (const name of ['m', 'n'])
    await until(async () => (await weightsOf(server, name)).state === 'shared')
  assert.equal(entriesIn(cacheDir).length, 1)
})
