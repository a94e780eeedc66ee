/** Archives of a store with models that load on demand: they are unpacked by the first load. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { httpProcesses, oneProcess, workersFor } from '../helpers/http-processes.ts'
import { addedBy, addingModel } from '../helpers/numbered-models.ts'
import { failedModels } from '../helpers/observe.ts'
import { childrenOf, json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { tarOf } from '../helpers/tar.ts'
import { zipOf } from '../helpers/zip.ts'
import type { ZipEntry } from '../helpers/zip.ts'

const MANIFEST = 'MAR-INF/MANIFEST.json'

/** An archive with a model that adds `number`. */
function archiveOf(number: number, settings: object = {}, more: Partial<ZipEntry> = {}): Buffer {
  return zipOf([
    { name: 'model.onnx', data: addingModel(number), ...more },
    { name: 'model.json', data: JSON.stringify(settings) },
  ])
}

interface Site {
  readonly server: TestServer
  readonly store: string
  /** Names of the folders with unpacked archives. */
  unpacked(): string[]
}

async function serveStore(
  t: TestContext,
  files: Readonly<Record<string, Buffer>>,
  stateDir = '',
): Promise<Site> {
  const store = path.join(temporaryFolder(t), 'store')
  mkdirSync(store)
  for (const [name, bytes] of Object.entries(files)) writeFileSync(path.join(store, name), bytes)
  return serveIn(t, store, stateDir)
}

async function serveIn(t: TestContext, store: string, stateDir = ''): Promise<Site> {
  const temporary = temporaryFolder(t)
  const settings = { modelStore: store, load: 'on-demand', ...(stateDir !== '' && { stateDir }) }
  const server = await serve(t, [], settings, { temporary })
  const unpacked = (): string[] =>
    readdirSync(temporary, { recursive: true, encoding: 'utf8' })
      .map((name) => path.basename(name))
      .filter((name) => name.startsWith('model-'))
  return { server, store, unpacked }
}

async function described(server: TestServer, model: string): Promise<Record<string, unknown>> {
  const [first] = (await json(await server.manage(`/models/${model}/all`))) as [
    Record<string, unknown>,
  ]
  return first
}

test(
  'an archive is described without unpacking it, and unpacked once by its first requests',
  { skip: oneProcess('its unpacked archives') },
  async (t) => {
    const { server, unpacked } = await serveStore(t, {
      'm1.mar': archiveOf(1, { version: '7', batchSize: 4 }),
      'm2.zip': archiveOf(2),
      'tar.tar.gz': gzipSync(tarOf([{ name: 'model.onnx', data: addingModel(3) }])),
    })
    // A .tar.gz has no directory, so that it has to be read completely.
    assert.equal(unpacked().length, 1)
    assert.deepEqual(childrenOf(server.pid), [])
    const { status, modelVersion, batchSize } = await described(server, 'm1')
    assert.deepEqual(
      { status, modelVersion, batchSize },
      {
        status: 'UNLOADED',
        modelVersion: '7',
        batchSize: 4,
      },
    )
    const answers = await Promise.all(Array.from({ length: 8 }, () => addedBy(server, 'm1')))
    assert.deepEqual(new Set(answers), new Set([1]))
    assert.equal(unpacked().length, 2)
    assert.equal(await addedBy(server, 'tar'), 3)
    assert.equal((await server.manage('/models/m1', { method: 'DELETE' })).status, 200)
    assert.equal(unpacked().length, 1)
    assert.equal(await addedBy(server, 'm2'), 2)
  },
)

test('an archive with a damaged model is found out by its load, others by the start', async (t) => {
  const code = { name: 'handler.mjs', data: 'export default () => 1' }
  const { server, unpacked } = await serveStore(t, {
    'crc.zip': archiveOf(1, {}, { crc32: 1 }),
    'none.zip': Buffer.from('no archive'),
    'code.zip': zipOf([code, { name: 'model.json', data: '{"handler": "handler.mjs"}' }]),
    'empty.zip': zipOf([{ name: 'model.onnx', data: '' }]),
    'wrong.mar': zipOf([
      { name: MANIFEST, data: '{"model": 1}' },
      { name: 'a.txt', data: 'a' },
    ]),
    'good.zip': archiveOf(2),
  })
  const failed = (await failedModels(server)).map(({ modelUrl }) => modelUrl)
  assert.deepEqual(failed.toSorted(), ['code.zip', 'empty.zip', 'none.zip', 'wrong.mar'])
  assert.match(
    String(await addedBy(server, 'crc')),
    /^503 .*model\.onnx.* does not match its CRC-32/,
  )
  assert.deepEqual(unpacked(), [])
  assert.equal(await addedBy(server, 'good'), 2)
})

test('an archive that was replaced after its registration is not unpacked', async (t) => {
  const { server, store, unpacked } = await serveStore(t, { 'm.zip': archiveOf(1) })
  writeFileSync(path.join(store, 'm.zip'), archiveOf(2))
  assert.match(String(await addedBy(server, 'm')), /^503 .*changed after its registration/)
  assert.deepEqual(unpacked(), [])
  const loaded = await server.manage('/v2/repository/models/m/load', { method: 'POST' })
  assert.equal(loaded.status, 200)
  assert.equal(await addedBy(server, 'm'), 2)
})

test('an archive whose model is loaded at the start is unpacked by it', async (t) => {
  const { server, unpacked } = await serveStore(t, {
    'm.zip': archiveOf(1, { loadOnDemand: false }),
  })
  assert.equal(unpacked().length, httpProcesses)
  assert.equal(childrenOf(server.pid).length, workersFor(1))
  assert.equal(await addedBy(server, 'm'), 1)
})

test('after a restart, an archive that is not unpacked shows its inputs and outputs', async (t) => {
  const stateDir = path.join(temporaryFolder(t), 'state')
  const first = await serveStore(t, { 'm.zip': archiveOf(1) }, stateDir)
  const expected = await json(await first.server.fetch('/v2/models/m'))
  assert.equal(first.unpacked().length, 1)
  await first.server.close()
  const next = await serveIn(t, first.store, stateDir)
  assert.deepEqual(await json(await next.server.fetch('/v2/models/m')), expected)
  assert.deepEqual(next.unpacked(), [])
})
