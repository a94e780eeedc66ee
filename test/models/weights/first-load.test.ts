/** Loads that do not wait for the build of an entry. */
import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import type { CachedWeights, PreparedWeights } from '../../../src/models/weights/version-weights.ts'
import { VersionWeights } from '../../../src/models/weights/version-weights.ts'
import { MemoryGuard } from '../../../src/models/workers/memory-guard.ts'
import { childrenOf, temporaryFolder } from '../../helpers/server.ts'
import { entriesIn, openCache, unfinishedIn } from '../../helpers/weight-cache.ts'
import { layers } from '../../helpers/weight-models.ts'

const log = pino({ level: 'silent' })
const never = new AbortController().signal

/** A model file and an empty cache folder. */
function placeFor(t: TestContext): { model: string; cacheDir: string } {
  const folder = temporaryFolder(t)
  const model = path.join(folder, 'm.onnx')
  writeFileSync(model, layers(64, 2))
  return { model, cacheDir: path.join(folder, 'cache') }
}

test('a cache without the entry is found out without a process; the entry is built later', async (t) => {
  const { model, cacheDir } = placeFor(t)
  const { cache, modelAt, settingsOf } = openCache(t, cacheDir)
  const prepared = await modelAt(model)
  const weights = cache.weightsOf(prepared, settingsOf(prepared), log)
  const before = childrenOf(process.pid)
  await weights.usePresent(never)
  assert.deepEqual(childrenOf(process.pid), before)
  assert.equal(await weights.forWorker(), undefined)
  assert.deepEqual(weights.status, {
    state: 'pending',
    reason: 'Workers load the original model until shared weights are prepared.',
  })
  await weights.prepareLater()
  assert.equal(weights.status.state, 'shared')
  assert.notEqual(await weights.forWorker(), undefined)

  const next = openCache(t, cacheDir)
  const found = next.cache.weightsOf(prepared, settingsOf(prepared), log)
  await found.usePresent(never)
  assert.equal(found.status.state, 'shared')
  assert.equal(found.isCached, true)
})

test('an entry of the same model is found although another entry is there', async (t) => {
  const { model, cacheDir } = placeFor(t)
  const other = path.join(path.dirname(model), 'other.onnx')
  writeFileSync(other, layers(64, 3))
  const { share, cache, modelAt, settingsOf } = openCache(t, cacheDir)
  await share(other)
  const prepared = await modelAt(model)
  assert.equal(await cache.find(prepared, settingsOf(prepared), never), undefined)
  const { key } = await share(model)
  const found = await openCache(t, cacheDir).cache.find(prepared, settingsOf(prepared), never)
  assert.ok(found !== undefined && 'key' in found)
  assert.equal(found.key, key)
})

test('a damaged entry is removed, and no entry is built, when it is only looked for', async (t) => {
  const { model, cacheDir } = placeFor(t)
  const first = openCache(t, cacheDir)
  const { weights } = await first.share(model)
  truncateSync(weights.path, 100)
  const { cache, modelAt, settingsOf, logLines, share } = openCache(t, cacheDir)
  const prepared = await modelAt(model)
  assert.equal(await cache.find(prepared, settingsOf(prepared), never), undefined)
  assert.ok(logLines.some(({ msg }) => /is damaged and was removed/.test(String(msg))))
  assert.deepEqual([entriesIn(cacheDir), unfinishedIn(cacheDir)], [[], []])
  await share(model)
  assert.equal(entriesIn(cacheDir).length, 1)
})

test('no entry is built beside running workers when memory is short', async (t) => {
  const { model, cacheDir } = placeFor(t)
  let free = 50 * 1024 * 1024
  const memory = new MemoryGuard(() => Promise.resolve(free))
  const { cache, modelAt, settingsOf } = openCache(t, cacheDir, {}, memory)
  const prepared = await modelAt(model)
  const weights = cache.weightsOf(prepared, settingsOf(prepared), log)
  await weights.usePresent(never)
  await weights.prepareLater()
  assert.deepEqual(weights.status, {
    state: 'private',
    reason: 'Too little memory is free to prepare shared weights beside the running workers.',
  })
  assert.equal(await weights.forWorker(), undefined)
  // The next load tries again.
  free *= 10
  await weights.usePresent(never)
  await weights.prepareLater()
  assert.equal(weights.status.state, 'shared')
  // The reservation was released.
  const release = await memory.reserve(free)
  assert.ok(release !== undefined)
  assert.equal(await memory.reserve(1), undefined)
  release()
})

const ENTRY: CachedWeights = {
  key: 'k',
  model: { path: '', state: { dev: '', ino: '', size: '', mtimeNs: '', ctimeNs: '' } },
  weights: { path: '', state: { dev: '', ino: '', size: '', mtimeNs: '', ctimeNs: '' } },
}

test('a further worker waits for the entry that is being built, the only worker does not', async () => {
  let finish: (weights: PreparedWeights) => void = () => {}
  const built = new Promise<PreparedWeights>((resolve) => (finish = resolve))
  const held: string[] = []
  const weights = new VersionWeights({
    findChecked: () => Promise.resolve(undefined),
    find: () => Promise.resolve(undefined),
    prepare: () => built,
    prepareLater: () => built,
    hold: (key) => held.push(key),
    release: (key) => held.splice(held.indexOf(key), 1),
    maxWaitMs: 60_000,
    log,
  })
  await weights.usePresent(never)
  const later = weights.prepareLater()
  assert.equal(await weights.forWorker(false), undefined)
  let isChosen = false
  const further = weights.forWorker(true).finally(() => (isChosen = true))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isChosen, false)
  finish(ENTRY)
  await Promise.all([further, later])
  assert.equal(weights.status.state, 'shared')
  assert.deepEqual(held, ['k'])
  weights.close()
  assert.deepEqual(held, [])
})
