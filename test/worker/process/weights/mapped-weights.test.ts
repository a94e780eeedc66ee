/** A session keeps its weights only while nobody has written to their file. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  linkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { stateOf } from '../../../../src/contract/shared-weights.ts'
import type { SharedWeights } from '../../../../src/contract/shared-weights.ts'
import { MappedWeights } from '../../../../src/worker/process/onnx/runtime/mapped-weights.ts'
import { temporaryFolder, until } from '../../../helpers/server.ts'
import type { Cleanup } from '../../../helpers/server.ts'

/** Files with their present state. They have aged, so that each change gets another time. */
async function layFiles(t: Cleanup): Promise<SharedWeights> {
  const folder = temporaryFolder(t)
  const files = ['model.onnx', 'weights.bin'].map((name) => path.join(folder, name))
  const [model = '', weights = ''] = files
  for (const file of files) writeFileSync(file, `content of ${file}`)
  await until(() => Date.now() - statSync(weights).ctimeMs > 50)
  const stateAt = (file: string) => ({
    path: file,
    state: stateOf(statSync(file, { bigint: true })),
  })
  return { model: stateAt(model), weights: stateAt(weights) }
}

/** Writes to a file and restores its size and its time. */
function overwrite(file: string): void {
  const { atime, mtime } = statSync(file)
  writeFileSync(file, 'CONTENT', { flag: 'r+' })
  utimesSync(file, atime, mtime)
}

test('weights count as intact until their file is written to', async (t) => {
  const shared = await layFiles(t)
  const mapped = new MappedWeights(shared)
  t.after(() => mapped.close())
  const loaded: string[] = []
  mapped.load((file) => void loaded.push(file))
  assert.deepEqual(loaded, [shared.model.path])
  assert.ok(mapped.isIntact)
  overwrite(shared.weights.path)
  assert.ok(!mapped.isIntact)
})

test('removing the file of the weights changes nothing for those who have it', async (t) => {
  const shared = await layFiles(t)
  const mapped = new MappedWeights(shared)
  t.after(() => mapped.close())
  mapped.load(() => {})
  const other = `${shared.weights.path}.other`
  renameSync(shared.weights.path, other)
  rmSync(other)
  assert.ok(mapped.isIntact)
  assert.ok(mapped.isIntact)
})

test('a file that was written to before it was removed is not intact', async (t) => {
  const shared = await layFiles(t)
  const mapped = new MappedWeights(shared)
  t.after(() => mapped.close())
  mapped.load(() => {})
  appendFileSync(shared.weights.path, 'more')
  rmSync(shared.weights.path)
  assert.ok(!mapped.isIntact)
})

test('files that are not the checked ones are not loaded', async (t) => {
  const changes: Readonly<Record<string, (file: string) => void>> = {
    'a write': overwrite,
    'more bytes': (file) => appendFileSync(file, 'more'),
    'a removed file': (file) => rmSync(file),
    'another file': (file) => {
      writeFileSync(`${file}.other`, 'other')
      renameSync(`${file}.other`, file)
    },
    'a link': (file) => {
      renameSync(file, `${file}.moved`)
      symlinkSync(`${file}.moved`, file)
    },
    'a second name': (file) => linkSync(file, `${file}.second`),
  }
  for (const [what, change] of Object.entries(changes)) {
    for (const moment of ['before', 'during'] as const) {
      for (const kind of ['model', 'weights'] as const) {
        const shared = await layFiles(t)
        const mapped = new MappedWeights(shared)
        const apply = (): void => change(shared[kind].path)
        if (moment === 'before') apply()
        const load = (): void => mapped.load(() => (moment === 'during' ? apply() : undefined))
        assert.throws(load, `${what} of ${kind} ${moment} the load`)
        mapped.close()
      }
    }
  }
})

test('a worker without a valid list of files loads the original', (t) => {
  const file = path.join(temporaryFolder(t), 'weights.json')
  assert.equal(MappedWeights.read(''), undefined)
  assert.equal(MappedWeights.read(file), undefined)
  for (const text of ['', '{', 'null']) {
    writeFileSync(file, text)
    assert.equal(MappedWeights.read(file), undefined)
  }
})
