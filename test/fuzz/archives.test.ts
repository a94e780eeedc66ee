/** Z14: damaged archives, through the function with which the server unpacks. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { ServerError } from '../../src/errors.ts'
import { extractArchive } from '../../src/models/archives/extract.ts'
import { reportFigure } from '../faults/figures.ts'
import { size } from '../faults/harness.ts'
import { mutate } from '../helpers/mutate.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { temporaryFolder } from '../helpers/server.ts'
import { paxRecords, tarOf } from '../helpers/tar.ts'
import { zip64Extra, zipOf } from '../helpers/zip.ts'
import { attack, corpusOf, oneOf } from './campaign.ts'

const COUNT = size(700, 1_000_000)
const BUDGET_MS = size(5000, 900_000)
const LEAST_FULL = 100_000
const MAX_GROWTH_MIB = 256
const BLOCK = 512

/** Sound archives of every form that is taken. */
const ZIPS = [
  zipOf([
    { name: 'MAR-INF/MANIFEST.json', data: '{}' },
    { name: 'h.js', data: 'export {}' },
  ]),
  zipOf([{ name: 'a/' }, { name: 'a/b', data: 'x'.repeat(300), hasDescriptor: true }]),
  zipOf([{ name: 'm.onnx', data: 'stored', isStored: true }], { zip64: {} }),
  zipOf([
    { name: 'm', data: 'x', bytes: 0xffffffff, packedBytes: 0xffffffff, extra: zip64Extra(1n, 3n) },
  ]),
  zipOf(
    [
      { name: 'é', data: 'x' },
      { name: 'n/n/n', data: 'y' },
    ],
    { comment: Buffer.from('text') },
  ),
]
const TARS = [
  tarOf([
    { name: './' },
    { name: 'a/b', data: 'x'.repeat(700) },
    { name: 'x', type: 'x', data: paxRecords(['path', 'q/r'], ['size', '3']) },
    { name: 'z', data: 'abc' },
    { name: 'L', type: 'L', data: 'long\0' },
    { name: 'y', data: 'hello' },
  ]),
  tarOf([
    { name: 'g', type: 'g', data: paxRecords(['comment', 'made by a tool']) },
    { name: 'file', prefix: 'a/long/folder', data: 'x' },
    { name: 'MAR-INF/' },
  ]),
]
const ZIP_WORDS = ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', '../', '/', '\0']
const TAR_WORDS = ['../', '/', 'ustar\x0000', 'ustar  \0', '77777777777\0', '12 path=../x\n', '\0']
const buffers = (words: readonly string[]): Buffer[] =>
  words.map((word) => Buffer.from(word, 'latin1'))
const [zipWords, tarWords] = [buffers(ZIP_WORDS), buffers(TAR_WORDS)]

function mutant(random: RandomNumbers): Buffer {
  if (random.integer(0, 1) === 0)
    return mutate(oneOf(ZIPS, random), random, { words: zipWords, other: oneOf(ZIPS, random) })
  const tar = mutate(oneOf(TARS, random), random, { words: tarWords, other: oneOf(TARS, random) })
  // A wrong checksum ends most tar files before anything else is looked at.
  if (random.integer(0, 3) > 0) mendChecksums(tar)
  const packed = gzipSync(tar, { level: 1 })
  return random.integer(0, 4) === 0 ? mutate(packed, random) : packed
}

/** Writes the right sum into whatever looks like a header. */
function mendChecksums(tar: Buffer): void {
  for (let start = 0; start + BLOCK <= tar.length; start += BLOCK) {
    const block = tar.subarray(start, start + BLOCK)
    if (block.toString('latin1', 257, 262) !== 'ustar') continue
    block.fill(0x20, 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  }
}

test('Z14 damaged archives give server errors or proper files, and nothing outside', async (t) => {
  // In memory where the machine has such a folder: it is about the code, not the disk.
  const folder = existsSync('/dev/shm') ? inMemory(t) : temporaryFolder(t)
  const file = path.join(folder, 'archive')
  const destination = path.join(folder, 'out')
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const before = descriptors()
  const outcomes = { refused: 0, unpacked: 0 }
  const check = async (bytes: Buffer): Promise<void> => {
    writeFileSync(file, bytes)
    try {
      await extractArchive(file, destination)
      outcomes.unpacked += 1
      assertProper(destination)
      rmSync(destination, { recursive: true })
    } catch (error) {
      assert.ok(error instanceof ServerError, String(error))
      assert.ok([400, 413].includes(error.statusCode), `${error.message} ${String(error.cause)}`)
      assert.ok(!error.message.includes(folder), error.message)
      outcomes.refused += 1
    }
    assert.deepEqual(readdirSync(folder), ['archive'])
  }
  const corpus = corpusOf('archives')
  const sound = [...ZIPS, ...TARS.map((tar) => gzipSync(tar))]
  assert.ok(corpus.some((bytes) => isGzip(bytes)) && corpus.some((bytes) => !isGzip(bytes)))
  for (const bytes of corpus) await assert.rejects(async () => refuse(bytes, file, destination))
  for (const bytes of sound) await check(bytes)
  assert.deepEqual(outcomes, { refused: 0, unpacked: sound.length })

  const result = await attack({ corpus, count: COUNT, budgetMs: BUDGET_MS, mutant, check })
  const { refused, unpacked } = outcomes
  assert.ok(refused > result.inputs / 2 && unpacked > result.inputs / 100, `${refused} ${unpacked}`)
  assert.equal(descriptors(), before)
  assert.ok(result.grownByMib <= MAX_GROWTH_MIB, `${result.grownByMib} MiB`)
  reportFigure(t, {
    what: 'fuzz: archives',
    goal: '≥ 10⁵, 0 crashes',
    seen: `${result.inputs}, 0 crashes, memory + ${result.grownByMib} MiB, seed ${result.seed}`,
    isMet: result.inputs >= LEAST_FULL,
  })
})

const isGzip = (bytes: Buffer): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b

/** Each archive of the corpus is one that has to be refused. */
async function refuse(bytes: Buffer, file: string, destination: string): Promise<void> {
  writeFileSync(file, bytes)
  await extractArchive(file, destination)
  rmSync(destination, { recursive: true })
}

/** Regular files and folders only. */
function assertProper(folder: string): void {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true })
  for (const entry of entries) assert.ok(entry.isFile() || entry.isDirectory(), entry.name)
}

function inMemory(t: { after: (run: () => void) => void }): string {
  const folder = path.join('/dev/shm', `onnxd-test-${process.pid}`)
  mkdirSync(folder)
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('the damage that is done to tar files reaches what is behind the checksums', () => {
  const [tar = Buffer.alloc(0)] = TARS
  const damaged = Buffer.from(tar)
  damaged.write('5', 156 + BLOCK, 'latin1')
  mendChecksums(damaged)
  assert.notDeepEqual(
    damaged.subarray(BLOCK + 148, BLOCK + 156),
    tar.subarray(BLOCK + 148, BLOCK + 156),
  )
  mendChecksums(tar)
  assert.deepEqual(gunzipSync(gzipSync(tar)), tar)
})
