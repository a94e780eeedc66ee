/** Models that are described after a restart, without a worker. */
import assert from 'node:assert/strict'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { addingModel, numberedStore } from '../helpers/numbered-models.ts'
import { childrenOf, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { layers } from '../helpers/weight-models.ts'

interface Metadata {
  readonly inputs: unknown[]
  readonly outputs: unknown[]
}

async function serveStore(t: TestContext, store: string, stateDir: string): Promise<TestServer> {
  return serve(t, [], { modelStore: store, load: 'on-demand', stateDir })
}

const metadataOf = async (server: TestServer, model: string): Promise<Metadata> =>
  (await json(await server.fetch(`/v2/models/${model}`))) as Metadata

async function described(server: TestServer, model: string): Promise<Record<string, unknown>> {
  const [first] = (await json(await server.manage(`/models/${model}/all`))) as [
    Record<string, unknown>,
  ]
  return first
}

test('after a restart, a model shows its inputs and outputs without a worker', async (t) => {
  const store = numberedStore(t, 2)
  const stateDir = path.join(temporaryFolder(t), 'state')
  const first = await serveStore(t, store, stateDir)
  const expected = await metadataOf(first, 'm1')
  assert.equal(expected.inputs.length > 0, true)
  // Another HTTP process may have loaded it, and tells process 0 a moment later.
  const metadata = await until(async () => (await described(first, 'm1')).metadata)
  const document = await json(await first.fetch('/v2/models/m1/openapi.json'))
  await first.close()

  const file = path.join(stateDir, 'model-index.jsonl')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const next = await serveStore(t, store, stateDir)
  assert.deepEqual(await metadataOf(next, 'm1'), expected)
  const again = await described(next, 'm1')
  assert.deepEqual([again.status, again.metadata], ['UNLOADED', metadata])
  assert.deepEqual(await json(await next.fetch('/v2/models/m1/openapi.json')), document)
  // The other model was never loaded.
  assert.equal((await described(next, 'm2')).metadata, undefined)
  assert.deepEqual(childrenOf(next.pid), [])
  await next.close()

  // A damaged file only costs a load.
  writeFileSync(file, 'damaged')
  const last = await serveStore(t, store, stateDir)
  assert.deepEqual(await metadataOf(last, 'm1'), expected)
  assert.equal(childrenOf(last.pid).length, 1)
  const ignored = await last.logged(({ msg }) => msg === 'the index of models is ignored')
  assert.equal(ignored.problem, 'has no valid first line')
})

test('a model whose file was replaced between two starts is loaded to be described', async (t) => {
  const store = path.join(temporaryFolder(t), 'store')
  mkdirSync(path.join(store, 'm'), { recursive: true })
  const file = path.join(store, 'm', 'model.onnx')
  const stateDir = path.join(temporaryFolder(t), 'state')
  writeFileSync(file, addingModel(1))
  const first = await serveStore(t, store, stateDir)
  const before = await metadataOf(first, 'm')
  await first.close()
  writeFileSync(file, layers(16, 1))
  const next = await serveStore(t, store, stateDir)
  assert.equal((await described(next, 'm')).metadata, undefined)
  const after = await metadataOf(next, 'm')
  assert.notDeepEqual(after.inputs, before.inputs)
  assert.equal(childrenOf(next.pid).length, 1)
})
