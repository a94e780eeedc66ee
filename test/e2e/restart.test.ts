/** Changes that requests make to models of the command line must still exist after a restart. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')

/** A store with a model of two versions. */
function twoVersions(t: TestContext): string {
  const store = temporaryFolder(t)
  for (const version of ['1', '2']) {
    mkdirSync(path.join(store, 'iris', version), { recursive: true })
    cpSync(path.join(iris, 'model.onnx'), path.join(store, 'iris', version, 'model.onnx'))
  }
  return store
}

const put = async (server: TestServer, route: string): Promise<void> =>
  assert.equal((await server.manage(route, { method: 'PUT' })).status, 200)

interface Description {
  readonly modelVersion: string
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly workers: unknown[]
  readonly settings: { readonly workers: unknown }
}

const describe = async (server: TestServer, route: string): Promise<Description> =>
  (await json(await server.manage(route))) as Description

const versionOf = async (server: TestServer): Promise<string> =>
  (await describe(server, '/models/iris')).modelVersion

test('scaling and the default version of the start’s own models survive a restart', async (t) => {
  const modelStore = twoVersions(t)
  const stateDir = temporaryFolder(t)
  const first = await serve(t, [`other=${iris}`], { modelStore, stateDir })
  assert.equal(await versionOf(first), '2')
  await put(first, '/models/other?min_worker=2&max_worker=3&synchronous=true')
  await put(first, '/models/iris/1/set-default')
  await first.close()

  const second = await serve(t, [`other=${iris}`], { modelStore, stateDir, workers: 0 })
  const other = await describe(second, '/models/other')
  assert.deepEqual([other.minWorkers, other.maxWorkers], [2, 3])
  assert.deepEqual(other.settings.workers, { value: 2, from: 'request' })
  assert.equal(await versionOf(second), '1')
  const untouched = await describe(second, '/models/iris')
  assert.deepEqual(untouched.settings.workers, { value: 0, from: 'command line' })
  await second.close()

  // A newer version that appears in the store does not take the place of one that was chosen.
  cpSync(path.join(modelStore, 'iris', '2'), path.join(modelStore, 'iris', '3'), {
    recursive: true,
  })
  const third = await serve(t, [], { modelStore, stateDir, workers: 0 })
  assert.equal(await versionOf(third), '1')
  // What this start does not load is remembered for one that does.
  const fourthState = JSON.parse(readFileSync(path.join(stateDir, 'state.json'), 'utf8')) as {
    state: { adjustments: { name: string }[] }
  }
  assert.deepEqual(fourthState.state.adjustments.map(({ name }) => name).toSorted(), [
    'iris',
    'other',
  ])
  await put(third, '/models/iris/2/set-default')
  await third.close()
  const fourth = await serve(t, [`other=${iris}`], { modelStore, stateDir, workers: 0 })
  assert.equal(await versionOf(fourth), '2')
  assert.equal((await describe(fourth, '/models/other')).minWorkers, 2)
})

test('without a request the newest version stays the default', async (t) => {
  const modelStore = twoVersions(t)
  const stateDir = temporaryFolder(t)
  const first = await serve(t, [], { modelStore, stateDir })
  await put(first, '/models/iris/1?min_worker=1&synchronous=true')
  await first.close()
  cpSync(path.join(modelStore, 'iris', '2'), path.join(modelStore, 'iris', '3'), {
    recursive: true,
  })
  const second = await serve(t, [], { modelStore, stateDir, workers: 0 })
  assert.equal(await versionOf(second), '3')
})
