/** Which entries stay, who uses the folder, and when work is stopped. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { completeConfig } from '../../../src/config/config.ts'
import { CacheFolder } from '../../../src/models/weights/cache-folder.ts'
import { cacheFolderOf } from '../../../src/models/weights/cache-path.ts'
import { listEntries } from '../../../src/models/weights/entry-list.ts'
import { Flights } from '../../../src/models/weights/flights.ts'
import type { VersionWeights } from '../../../src/models/weights/weight-cache.ts'
import { endlessModel } from '../../helpers/onnx-files.ts'
import { childrenOf, temporaryFolder, until } from '../../helpers/server.ts'
import { entriesIn, openCache, unfinishedIn } from '../../helpers/weight-cache.ts'
import { layers } from '../../helpers/weight-models.ts'

const KIB = 1024
const keyOf = (number: number): string => String(number).repeat(64)

/** Writes an entry of `bytes` that was last used `age` seconds ago. */
function layEntry(folder: string, number: number, bytes: number, age: number): void {
  const entry = path.join(folder, keyOf(number))
  mkdirSync(entry)
  writeFileSync(path.join(entry, 'weights.bin'), Buffer.alloc(bytes - 10))
  writeFileSync(path.join(entry, 'model.onnx'), Buffer.alloc(10))
  writeFileSync(path.join(entry, 'entry.json'), '{}')
  const usedAt = new Date(Date.now() - age * 1000)
  utimesSync(path.join(entry, 'entry.json'), usedAt, usedAt)
}

async function openFolder(t: TestContext): Promise<CacheFolder> {
  const folder = await CacheFolder.open(path.join(temporaryFolder(t), 'cache'))
  t.after(() => folder.close())
  return folder
}

test('the entries that were used least recently are removed, but none in use', async (t) => {
  const folder = await openFolder(t)
  for (const [number, age] of [
    [1, 500],
    [2, 400],
    [3, 300],
    [4, 200],
  ] as const) {
    layEntry(folder.path, number, 10 * KIB, age)
  }
  await folder.touch(keyOf(2))
  const ages = await listEntries(folder.path)
  assert.deepEqual(
    ages.map(({ key, bytes }) => [key, bytes]),
    [1, 3, 4, 2].map((number) => [keyOf(number), 10 * KIB]),
  )
  const isInUse = (key: string): boolean => key === keyOf(1)
  assert.deepEqual(await folder.shrink(40 * KIB, isInUse), [])
  assert.deepEqual(await folder.shrink(25 * KIB, isInUse), [keyOf(3), keyOf(4)])
  assert.deepEqual(entriesIn(folder.path), [keyOf(1), keyOf(2)])
  assert.deepEqual(await folder.shrink(0, isInUse), [keyOf(2)])
  assert.deepEqual(unfinishedIn(folder.path), [])
})

test('a new entry replaces those that no model uses, when the cache is full', async (t) => {
  const parent = temporaryFolder(t)
  const cacheDir = path.join(parent, 'cache')
  for (const seed of [1, 2, 3]) {
    writeFileSync(path.join(parent, `${seed}.onnx`), layers(256, 3, seed))
  }
  const { cache, modelAt, settingsOf } = openCache(t, cacheDir, { cacheSize: 3 })
  const signal = new AbortController().signal
  const open = async (seed: number): Promise<{ weights: VersionWeights; folder: string }> => {
    const model = await modelAt(path.join(parent, `${seed}.onnx`))
    const weights = cache.weightsOf(model, settingsOf(model), pino({ level: 'silent' }))
    await weights.prepare(signal)
    const shared = await weights.forWorker()
    assert.ok(shared !== undefined)
    return { weights, folder: path.dirname(shared.model.path) }
  }
  const first = await open(1)
  const second = await open(2)
  second.weights.close()
  const third = await open(3)
  assert.deepEqual(
    [first, second, third].map(({ folder }) => existsSync(folder)),
    [true, false, true],
  )
})

test('a model that is larger than the cache may be is not cached', async (t) => {
  const parent = temporaryFolder(t)
  const model = path.join(parent, 'm.onnx')
  // Smaller than a MiB, but with its packed weights larger.
  writeFileSync(model, layers(256, 3))
  const { prepare } = openCache(t, path.join(parent, 'cache'), { cacheSize: 1 })
  assert.deepEqual(await prepare(model), {
    reason: 'The entry would be larger than the cache may be.',
  })
  writeFileSync(model, layers(256, 5))
  assert.deepEqual(await prepare(model), { reason: 'The model is larger than the cache may be.' })
})

test('the SHA-256 of a file is remembered once the file has settled', async (t) => {
  const parent = temporaryFolder(t)
  const cacheDir = path.join(parent, 'cache')
  const model = path.join(parent, 'm.onnx')
  writeFileSync(model, layers(64, 2))
  const first = openCache(t, cacheDir)
  const { key } = await first.share(model)
  assert.deepEqual(readdirSync(path.join(cacheDir, 'sources')), [])
  await until(() => Date.now() - statSync(model).ctimeMs > 2100)
  await openCache(t, cacheDir).share(model)
  const [name = '', ...others] = readdirSync(path.join(cacheDir, 'sources'))
  assert.deepEqual(others, [])
  const remembered = path.join(cacheDir, 'sources', name)
  assert.match(readFileSync(remembered, 'latin1'), /^[0-9a-f]{64}$/)
  // What is remembered is believed: another hash leads to another entry.
  writeFileSync(remembered, 'f'.repeat(64))
  assert.notEqual((await openCache(t, cacheDir).share(model)).key, key)
})

test('a load that is stopped ends the process that checks the weights', async (t) => {
  const parent = temporaryFolder(t)
  const cacheDir = path.join(parent, 'cache')
  const model = path.join(parent, 'm.onnx')
  writeFileSync(model, endlessModel())
  const { prepare, cache } = openCache(t, cacheDir)
  const stop = new AbortController()
  const before = childrenOf(process.pid)
  const prepared = prepare(model, stop.signal)
  await until(() => childrenOf(process.pid).length > before.length)
  stop.abort()
  assert.deepEqual(await prepared, { reason: 'the load was stopped' })
  await cache.close()
  assert.deepEqual(childrenOf(process.pid), before)
  assert.deepEqual(unfinishedIn(cacheDir), [])
  assert.deepEqual(
    readdirSync(cacheDir).filter((name) => name.endsWith('.sock')),
    [],
  )
})

test('work goes on while anybody waits for it', async () => {
  const flights = new Flights<string>()
  const stops: AbortSignal[] = []
  let finish = (): void => {}
  const work = (stop: AbortSignal): Promise<string> => {
    stops.push(stop)
    return new Promise((resolve) => (finish = () => resolve('done')))
  }
  const one = new AbortController()
  const first = flights.join('a', one.signal, work)
  const second = flights.join('a', new AbortController().signal, work)
  one.abort()
  await assert.rejects(first, /stopped/)
  assert.deepEqual(
    stops.map(({ aborted }) => aborted),
    [false],
  )
  finish()
  assert.equal(await second, 'done')
  const third = flights.join('a', one.signal, work)
  await assert.rejects(third)
})

test('the cache folder is the setting, or lies in the state folder, or in that of the user', () => {
  const of = (settings: object, environment: NodeJS.ProcessEnv): string =>
    cacheFolderOf(completeConfig({ ...settings }), environment)
  assert.equal(of({ cacheDir: '/c', stateDir: '/s' }, { HOME: '/h' }), '/c')
  assert.equal(of({ stateDir: '/s' }, { HOME: '/h' }), '/s/cache')
  assert.equal(of({}, { HOME: '/h', XDG_CACHE_HOME: '/x' }), '/x/onnxd')
  assert.equal(of({}, { HOME: '/h', XDG_CACHE_HOME: 'relative' }), '/h/.cache/onnxd')
  assert.equal(of({}, { HOME: '' }), '/var/cache/onnxd')
})
