/** The file that remembers inputs and outputs across restarts. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { ModelIndex } from '../../../src/models/model-index/model-index.ts'
import type { IndexedModel } from '../../../src/models/model-index/model-index.ts'
import type { HandlerMetadata } from '../../../src/models/model-metadata.ts'
import { temporaryFolder, until } from '../../helpers/server.ts'

const FILE = 'model-index.jsonl'
const isRoot = process.geteuid?.() === 0

function metadataOf(name: string): HandlerMetadata {
  const tensor = { name, datatype: 'FP32', shape: [-1, 4], dimensions: ['N', 4] }
  const runtime = { name: 'onnxruntime', version: '1' }
  return { handler: 'onnx', runtime, inputs: [tensor], outputs: [tensor] }
}

function modelOf(number: number, hash = 'a'): IndexedModel {
  return { name: `m${number}`, version: '1.0', bytes: 10, hash: hash.repeat(64) }
}

/** An index that may write, and the messages that it logs. */
function openIndex(t: TestContext, folder: string, version = '1.0.0', delayMs = 60_000) {
  const messages: Record<string, unknown>[] = []
  const write = (line: string): void => void messages.push({ ...(JSON.parse(line) as object) })
  const log = pino({ base: null }, { write })
  const index = new ModelIndex({ folder, version, log, delayMs })
  index.allowWrites()
  t.after(() => index.close())
  return { index, messages }
}

test('a model is known after a restart, until its files change', async (t) => {
  const folder = temporaryFolder(t)
  const { index } = openIndex(t, folder)
  index.record(modelOf(1), metadataOf('x'))
  index.record(modelOf(2), metadataOf('y'))
  assert.deepEqual(index.find(modelOf(1)), metadataOf('x'))
  await index.close()
  assert.equal(statSync(path.join(folder, FILE)).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(folder), [FILE])

  const next = openIndex(t, folder).index
  assert.deepEqual(next.find(modelOf(1)), metadataOf('x'))
  assert.deepEqual(next.find(modelOf(2)), metadataOf('y'))
  assert.equal(next.find(modelOf(3)), undefined)
  assert.equal(next.find(modelOf(1, 'b')), undefined)
  assert.equal(next.find({ ...modelOf(1), version: '2' }), undefined)
  // A changed model takes the place of the old one.
  next.record(modelOf(1, 'b'), metadataOf('z'))
  await next.close()
  const last = openIndex(t, folder).index
  assert.deepEqual(last.find(modelOf(1, 'b')), metadataOf('z'))
  assert.equal(last.find(modelOf(1)), undefined)
})

test('models that become known together are written once, and only if something is new', async (t) => {
  const folder = temporaryFolder(t)
  const { index } = openIndex(t, folder, '1.0.0', 10)
  const file = path.join(folder, FILE)
  for (let number = 0; number < 100; number += 1) index.record(modelOf(number), metadataOf('x'))
  assert.equal(existsSync(file), false)
  await until(() => existsSync(file))
  const { ino } = statSync(file)
  for (let number = 0; number < 100; number += 1) index.record(modelOf(number), metadataOf('x'))
  await index.close()
  assert.equal(statSync(file).ino, ino)
  assert.equal(readFileSync(file, 'utf8').trimEnd().split('\n').length, 101)
})

test('nothing is written before the state folder belongs to this server', async (t) => {
  const folder = temporaryFolder(t)
  const log = pino({ level: 'silent' })
  const index = new ModelIndex({ folder, version: '1', log, delayMs: 0 })
  index.record(modelOf(1), metadataOf('x'))
  await index.close()
  assert.deepEqual(readdirSync(folder), [])
})

test('a file of another version of onnxd is ignored, and replaced later', async (t) => {
  const folder = temporaryFolder(t)
  const first = openIndex(t, folder).index
  first.record(modelOf(1), metadataOf('x'))
  await first.close()
  const { index, messages } = openIndex(t, folder, '2.0.0')
  assert.equal(index.find(modelOf(1)), undefined)
  assert.deepEqual(messages, [])
  index.record(modelOf(1), metadataOf('y'))
  await index.close()
  assert.deepEqual(openIndex(t, folder, '2.0.0').index.find(modelOf(1)), metadataOf('y'))
})

const DAMAGES: Readonly<Record<string, (file: string) => void>> = {
  'is truncated': (file) => truncateSync(file, statSync(file).size - 5),
  'is empty': (file) => truncateSync(file, 0),
  'has more lines': (file) => appendFileSync(file, '{}\n'),
  'has another character': (file) =>
    writeFileSync(file, readFileSync(file, 'utf8').replace('"FP32"', '"FP64"')),
  'is no text': (file) => writeFileSync(file, Buffer.from([0, 255, 10, 1])),
  'is a state file': (file) => writeFileSync(file, '{"schemaVersion":1}\n'),
  'is a link': (file) => {
    renameSync(file, `${file}.moved`)
    symlinkSync(`${file}.moved`, file)
  },
  'is a folder': (file) => {
    renameSync(file, `${file}.moved`)
    mkdirSync(file)
  },
  ...(isRoot && { 'belongs to another user': (file: string) => chownSync(file, 1, 1) }),
}

test('a file that was changed is ignored with one log line', async (t) => {
  for (const [what, damage] of Object.entries(DAMAGES)) {
    const folder = temporaryFolder(t)
    const first = openIndex(t, folder).index
    first.record(modelOf(1), metadataOf('x'))
    await first.close()
    damage(path.join(folder, FILE))
    const { index, messages } = openIndex(t, folder)
    assert.equal(index.find(modelOf(1)), undefined, what)
    assert.equal(index.find(modelOf(2)), undefined, what)
    assert.deepEqual(
      messages.map(({ msg }) => msg),
      ['the index of models is ignored'],
      what,
    )
  }
})

test('a folder that cannot be written does not disturb', async (t) => {
  const folder = path.join(temporaryFolder(t), 'missing')
  const { index, messages } = openIndex(t, folder)
  index.record(modelOf(1), metadataOf('x'))
  await index.close()
  assert.deepEqual(index.find(modelOf(1)), metadataOf('x'))
  assert.deepEqual(
    messages.map(({ msg }) => msg),
    ['the index of models cannot be written'],
  )
})

test('the index is bounded: the models that were recorded first are forgotten', async (t) => {
  const folder = temporaryFolder(t)
  const { index } = openIndex(t, folder)
  const count = 10_005
  for (let number = 0; number < count; number += 1) index.record(modelOf(number), metadataOf('x'))
  index.record(modelOf(count), metadataOf('x'.repeat(70_000)))
  await index.close()
  const next = openIndex(t, folder).index
  assert.equal(next.find(modelOf(4)), undefined)
  assert.notEqual(next.find(modelOf(5)), undefined)
  assert.notEqual(next.find(modelOf(count - 1)), undefined)
  assert.equal(next.find(modelOf(count)), undefined)
})

test('what one process has learned, another one knows and writes', async (t) => {
  const log = pino({ level: 'silent' })
  const other = new ModelIndex({ version: '1.0.0', log })
  const learned: string[] = []
  other.onRecord = (line) => void learned.push(line)
  const before = other.revision
  other.allowWrites()
  other.record(modelOf(1), metadataOf('x'))
  other.record(modelOf(1), metadataOf('x'))
  assert.notEqual(other.revision, before)
  assert.equal(learned.length, 1)
  assert.deepEqual(other.lines, learned)
  await other.close()

  const folder = temporaryFolder(t)
  const { index } = openIndex(t, folder)
  index.onRecord = () => assert.fail('it has learned nothing itself')
  assert.equal(index.find(modelOf(1)), undefined)
  const { revision } = index
  index.add(['no line', ...learned])
  assert.notEqual(index.revision, revision)
  assert.deepEqual(index.find(modelOf(1)), metadataOf('x'))
  await index.close()
  assert.deepEqual(openIndex(t, folder).index.find(modelOf(1)), metadataOf('x'))
})

test('metadata of a custom handler is not recorded', async (t) => {
  const folder = temporaryFolder(t)
  const { index } = openIndex(t, folder)
  index.record(modelOf(1), { anything: true })
  await index.close()
  assert.deepEqual(readdirSync(folder), [])
})
