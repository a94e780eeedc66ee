/** Entries that were changed while no server ran, or while another one did. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { copyForeign } from '../../../src/models/weights/copy-foreign.ts'
import { checkEntry } from '../../../src/worker/process/weights/entry.ts'
import { temporaryFolder } from '../../helpers/server.ts'
import { entriesIn, openCache, unfinishedIn } from '../../helpers/weight-cache.ts'
import { layers } from '../../helpers/weight-models.ts'

const isRoot = process.geteuid?.() === 0

/** A model, and a cache folder with its entry and that of another model of the same size. */
interface Place {
  readonly model: string
  readonly folder: string
  readonly entry: string
  readonly other: string
}

let template: Promise<string> | undefined

/** Builds both entries once. */
async function buildTemplate(): Promise<string> {
  const parent = mkdtempSync(path.join(tmpdir(), 'onnxd-test-'))
  process.on('exit', () => rmSync(parent, { recursive: true, force: true }))
  writeFileSync(path.join(parent, 'm.onnx'), layers(64, 2, 1))
  writeFileSync(path.join(parent, 'other.onnx'), layers(64, 2, 2))
  const closers: (() => unknown)[] = []
  const t = { after: (close: () => unknown) => void closers.push(close) }
  const { share, cache } = openCache(t, path.join(parent, 'cache'))
  await Promise.all(['m', 'other'].map((name) => share(path.join(parent, `${name}.onnx`))))
  await cache.close()
  for (const close of closers) await close()
  return parent
}

/** A copy of the template. The key of an entry does not depend on the place of the model. */
async function filledCache(t: TestContext): Promise<Place> {
  const parent = temporaryFolder(t)
  cpSync(await (template ??= buildTemplate()), parent, { recursive: true })
  const folder = path.join(parent, 'cache')
  const sources = entriesIn(folder).map((key) => path.join(folder, key))
  const isOther = (entry: string): boolean =>
    readFileSync(path.join(entry, 'entry.json'), 'utf8').includes('"other.onnx"')
  const entry = sources.find((one) => !isOther(one))
  const other = sources.find(isOther)
  assert.ok(entry !== undefined && other !== undefined)
  return { model: path.join(parent, 'm.onnx'), folder, entry, other }
}

/** Writes one byte into a file, which keeps its size and its times. */
function flipByte(file: string): void {
  const { atime, mtime } = statSync(file)
  const bytes = readFileSync(file)
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes, { flag: 'r+' })
  utimesSync(file, atime, mtime)
}

const FILES = ['weights.bin', 'model.onnx', 'entry.json']
/** Changes of one file, and what is true of it afterwards. */
const DAMAGES: Readonly<Record<string, (file: string, place: Place) => void>> = {
  'is removed': (file) => rmSync(file),
  'is truncated': (file) => truncateSync(file, 100),
  'is empty': (file) => truncateSync(file, 0),
  'has more bytes': (file) => appendFileSync(file, 'more'),
  'is that of another model': (file, { other }) =>
    cpSync(path.join(other, path.basename(file)), file),
  'is a link': (file) => {
    renameSync(file, `${file}.moved`)
    symlinkSync(`${file}.moved`, file)
  },
  'is a folder': (file) => {
    rmSync(file)
    mkdirSync(file)
  },
}
const RIGHTS: Readonly<Record<string, (file: string) => void>> = {
  'can be written to by everybody': (file) => chmodSync(file, 0o666),
  ...(isRoot && { 'belongs to another user': (file: string) => chownSync(file, 1, 1) }),
}

/** The next server finds the damage, builds the entry again, and leaves the other entry alone. */
async function expectRebuilt(t: TestContext, place: Place, digest: string): Promise<void> {
  const { share, cache, logLines } = openCache(t, place.folder)
  const weights = await share(place.model)
  assert.equal(path.dirname(weights.model.path), place.entry)
  assert.equal(readFileSync(weights.weights.path).toString('base64'), digest)
  assert.ok(logLines.some(({ msg }) => /is damaged and was removed/.test(String(msg))))
  assert.deepEqual(unfinishedIn(place.folder), [])
  assert.equal(entriesIn(place.folder).length, 2)
  await cache.close()
}

test('every change of a file in an entry is found', async (t) => {
  const place = await filledCache(t)
  const key = path.basename(place.entry)
  const folder = path.join(temporaryFolder(t), key)
  const owner = process.geteuid?.()
  for (const name of FILES) {
    for (const [what, damage] of Object.entries({ ...DAMAGES, ...RIGHTS })) {
      cpSync(place.entry, folder, { recursive: true })
      assert.ok(typeof checkEntry({ folder, key, owner }) === 'object')
      damage(path.join(folder, name), place)
      const found = checkEntry({ folder, key, owner })
      assert.ok(typeof found === 'string', `${name} ${what}`)
      assert.match(found, new RegExp(name), `${name} ${what}`)
      rmSync(folder, { recursive: true })
    }
  }
  assert.equal(checkEntry({ folder, key, owner }), undefined)
})

test('an entry that was changed between two starts is built again', async (t) => {
  const place = await filledCache(t)
  const digest = readFileSync(path.join(place.entry, 'weights.bin')).toString('base64')
  const damages: Readonly<Record<string, () => void>> = {
    'one byte is different': () => flipByte(path.join(place.entry, 'weights.bin')),
    'the model file is removed': () => rmSync(path.join(place.entry, 'model.onnx')),
    'it is the folder of another model': () => {
      rmSync(place.entry, { recursive: true })
      cpSync(place.other, place.entry, { recursive: true })
    },
    'it is a link': () => {
      rmSync(place.entry, { recursive: true })
      symlinkSync(place.other, place.entry)
    },
  }
  for (const [what, damage] of Object.entries(damages)) {
    await t.test(what, async (inner) => {
      damage()
      await expectRebuilt(inner, place, digest)
    })
  }
})

test('an entry that is complete is used as it is', async (t) => {
  const place = await filledCache(t)
  const before = statSync(path.join(place.entry, 'weights.bin')).ino
  const { share, logLines } = openCache(t, place.folder)
  await share(place.model)
  assert.equal(statSync(path.join(place.entry, 'weights.bin')).ino, before)
  assert.deepEqual(
    logLines.filter(({ level }) => Number(level) > 30),
    [],
  )
})

test('a model whose file was changed gets another entry', async (t) => {
  const place = await filledCache(t)
  writeFileSync(place.model, layers(64, 2, 3))
  const { share } = openCache(t, place.folder)
  const { model } = await share(place.model)
  assert.ok(![place.entry, place.other].includes(path.dirname(model.path)))
})

test('two servers that build the same entry at once use one', async (t) => {
  const parent = temporaryFolder(t)
  const model = path.join(parent, 'm.onnx')
  writeFileSync(model, layers(64, 2))
  const folder = path.join(parent, 'cache')
  const servers = [openCache(t, folder), openCache(t, folder), openCache(t, folder)]
  const shared = await Promise.all(servers.map(({ share }) => share(model)))
  assert.equal(new Set(shared.map(({ weights }) => JSON.stringify(weights))).size, 1)
  assert.equal(entriesIn(folder).length, 1)
  assert.deepEqual(unfinishedIn(folder), [])
})

test('versions that need the same entry at once build it once', async (t) => {
  const parent = temporaryFolder(t)
  const model = path.join(parent, 'm.onnx')
  writeFileSync(model, layers(64, 2))
  const { share } = openCache(t, path.join(parent, 'cache'))
  const [one, two] = await Promise.all([share(model), share(model)])
  assert.equal(one, two)
})

test('a folder that others may write to, a link and a file are not used', async (t) => {
  const parent = temporaryFolder(t)
  const model = path.join(parent, 'm.onnx')
  writeFileSync(model, layers(64, 2))
  const target = path.join(parent, 'target')
  mkdirSync(target)
  const places: Readonly<Record<string, (folder: string) => void>> = {
    'Other users may write': (folder) => {
      mkdirSync(folder)
      chmodSync(folder, 0o777)
    },
    'is a link': (folder) => symlinkSync(target, folder),
    EEXIST: (folder) => writeFileSync(folder, ''),
    ...(isRoot && {
      'belongs to another user': (folder: string) => {
        mkdirSync(folder)
        chownSync(folder, 1, 1)
      },
    }),
  }
  for (const [reason, make] of Object.entries(places)) {
    const folder = path.join(parent, reason)
    make(folder)
    const { prepare, logLines } = openCache(t, folder)
    const weights = await prepare(model)
    assert.ok('reason' in weights, reason)
    assert.match(weights.reason, /cannot be used/)
    const warning = logLines.find(({ level }) => level === 40)
    assert.match(String(warning?.reason), new RegExp(reason))
  }
  assert.deepEqual(readdirSync(target), [])
})

test('what a killed server has left is removed', async (t) => {
  const place = await filledCache(t)
  const left = path.join(place.folder, 'tmp-0123456789ab-1')
  mkdirSync(left)
  writeFileSync(path.join(left, 'weights.bin'), 'half')
  const { share } = openCache(t, place.folder)
  await share(place.model)
  assert.ok(!existsSync(left))
})

test('a link in a folder of another user is not copied', async (t) => {
  const folder = temporaryFolder(t)
  const owner = process.geteuid?.() ?? 0
  const secret = path.join(folder, 'secret')
  writeFileSync(secret, 'of the server')
  await copyForeign(secret, path.join(folder, 'copy'), owner)
  assert.equal(readFileSync(path.join(folder, 'copy'), 'utf8'), 'of the server')
  symlinkSync(secret, path.join(folder, 'link'))
  await assert.rejects(copyForeign(path.join(folder, 'link'), path.join(folder, 'to'), owner))
  await assert.rejects(copyForeign(secret, path.join(folder, 'to'), owner + 1), /was replaced/)
  await assert.rejects(copyForeign(folder, path.join(folder, 'to'), owner), /was replaced/)
  assert.ok(!existsSync(path.join(folder, 'to')))
})
