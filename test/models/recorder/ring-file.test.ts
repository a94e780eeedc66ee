/** The file of recorded requests: its bound, what survives damage, and which files are refused. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { RingFile } from '../../../src/models/recorder/ring-file.ts'
import type { FinishedRequest } from '../../../src/models/recorder/ring-file.ts'
import { HEADER_BYTES } from '../../../src/recording/format.ts'
import { Recording } from '../../../src/recording/recording.ts'
import { randomNumbers, testSeed } from '../../helpers/random.ts'
import { temporaryFolder } from '../../helpers/server.ts'

const MIB = 1024 * 1024
const seed = testSeed()

/** A request whose bodies follow from its number. */
function finished(number: number, bytes: number): FinishedRequest {
  const request = Buffer.alloc(bytes, number % 251)
  return {
    description: {
      time: 1_700_000_000_000 + number,
      id: String(number),
      method: 'POST',
      url: '/predictions/iris',
      route: '/predictions/:model',
      headers: [['X-Number', `größe ${number}`]],
      redacted: [],
      model: 'iris',
      version: '1',
      status: 200,
      ms: number / 8,
      response: { contentType: 'text/plain', headers: [] },
    },
    request: [request.subarray(0, 3), request.subarray(3)],
    response: Buffer.from(`response ${number}`),
  }
}

/** The numbers of the records of a file, each checked. */
async function numbersIn(file: string): Promise<number[]> {
  const recording = await Recording.open(file)
  try {
    const numbers: number[] = []
    for (const place of recording.places) {
      const recorded = await recording.read(place)
      if (recorded === undefined) continue
      const number = Number(recorded.id)
      const [first] = recorded.headers
      assert.deepEqual(first, ['X-Number', `größe ${number}`])
      assert.ok(recorded.body.every((byte) => byte === number % 251))
      assert.equal(recorded.responseBody?.toString(), `response ${number}`)
      numbers.push(number)
    }
    return numbers
  } finally {
    await recording.close()
  }
}

/** Numbers that follow one another, up to `last`. */
function assertConsecutive(numbers: readonly number[], last: number): void {
  assert.equal(numbers.at(-1), last)
  for (const [index, number] of numbers.entries())
    assert.equal(number, last - numbers.length + 1 + index)
}

test(`the newest records stay, and the file never grows beyond its bound; seed ${seed}`, async (t) => {
  const random = randomNumbers(seed)
  const file = path.join(temporaryFolder(t), 'requests.rec')
  let ring = await RingFile.open(file, 1)
  let number = 0
  for (let round = 0; round < 60; round += 1) {
    const batch = Array.from({ length: random.integer(1, 6) }, () =>
      finished((number += 1), random.integer(3, random.next() < 0.1 ? 200_000 : 5000)),
    )
    assert.equal(await ring.write(batch), batch.length)
    assert.ok(statSync(file).size <= MIB)
    if (random.next() < 0.1) {
      await ring.close()
      ring = await RingFile.open(file, 1)
    }
    if (round % 10 !== 9) continue
    const numbers = await numbersIn(file)
    assertConsecutive(numbers, number)
    assert.ok(numbers.length > 3)
  }
  await ring.close()
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(path.dirname(file)), ['requests.rec'])
})

test('a record that is too large for the file is left out', async (t) => {
  const file = path.join(temporaryFolder(t), 'requests.rec')
  const ring = await RingFile.open(file, 1)
  assert.equal(await ring.write([finished(1, 10), finished(2, MIB), finished(3, 10)]), 2)
  await ring.close()
  assert.deepEqual(await numbersIn(file), [1, 3])
})

test(`damage hides only the records that it hits, and the recording goes on; seed ${seed}`, async (t) => {
  const random = randomNumbers(seed)
  const file = path.join(temporaryFolder(t), 'requests.rec')
  const ring = await RingFile.open(file, 1)
  await ring.write(Array.from({ length: 50 }, (_, index) => finished(index + 1, 3000)))
  await ring.close()
  const whole = readFileSync(file)
  for (let round = 0; round < 40; round += 1) {
    const damaged = Buffer.from(whole)
    const at = random.integer(HEADER_BYTES, whole.length - 1)
    const length = random.integer(1, 4000)
    if (random.next() < 0.5)
      damaged.fill(random.integer(0, 255), at, Math.min(at + length, whole.length))
    else whole.copy(damaged, at, random.integer(0, whole.length - 1), whole.length)
    writeFileSync(file, damaged)
    if (random.next() < 0.3) truncateSync(file, random.integer(HEADER_BYTES, whole.length))
    const numbers = await numbersIn(file)
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].toSorted((a, b) => a - b),
      'in order, each once',
    )
    const again = await RingFile.open(file, 1)
    await again.write([finished(1000, 100)])
    await again.close()
    assert.equal((await numbersIn(file)).at(-1), 1000)
  }
})

test('the body of a client cannot be read as a record', async (t) => {
  const folder = temporaryFolder(t)
  const [inner, outer] = ['inner.rec', 'outer.rec'].map((name) => path.join(folder, name))
  assert.ok(inner !== undefined && outer !== undefined)
  const first = await RingFile.open(inner, 1)
  await first.write([finished(77, 100)])
  await first.close()
  const ring = await RingFile.open(outer, 1)
  const copy = { ...finished(2, 0), request: [readFileSync(inner)] }
  await ring.write([finished(1, 10), { ...copy, response: readFileSync(inner) }])
  await ring.close()
  const bytes = readFileSync(outer)
  // The record around it is damaged, so the search goes on inside.
  const start = bytes.indexOf(readFileSync(inner))
  bytes.fill(0xff, start - 8, start)
  writeFileSync(outer, bytes)
  assert.deepEqual(await numbersIn(outer), [1])
})

test('files that are not a private recording are refused and stay as they are', async (t) => {
  const folder = temporaryFolder(t)
  const at = (name: string): string => path.join(folder, name)
  writeFileSync(at('notes.txt'), 'important '.repeat(20))
  writeFileSync(at('short.txt'), 'x')
  symlinkSync(at('nowhere'), at('dangling.rec'))
  writeFileSync(at('target.rec'), '')
  symlinkSync(at('target.rec'), at('link.rec'))
  linkSync(at('target.rec'), at('hard.rec'))
  mkdirSync(at('folder.rec'))
  execFileSync('mkfifo', [at('fifo.rec')])
  const half = await RingFile.open(at('half.rec'), 2)
  await half.close()
  const cases: [name: string, reason: RegExp][] = [
    ['notes.txt', /notes\.txt is not a recording of onnxd/],
    ['short.txt', /short\.txt is not a recording of onnxd/],
    ['dangling.rec', /it is a symbolic link/],
    ['link.rec', /it is a symbolic link/],
    ['hard.rec', /hard links/],
    ['folder.rec', /it is a folder/],
    ['fifo.rec', /it is not a regular file/],
    ['half.rec', /is a recording of 2 MiB\. Set --record-mib 2/],
    ['missing/x.rec', /its folder: it does not exist/],
  ]
  const before = readdirSync(folder)
  for (const [name, reason] of cases)
    await assert.rejects(RingFile.open(at(name), 1), { name: 'ConfigError', message: reason }, name)
  assert.deepEqual(readdirSync(folder), before, 'no file is left')
  assert.equal(readFileSync(at('notes.txt'), 'utf8'), 'important '.repeat(20))
  await assert.rejects(Recording.open(at('notes.txt')), /is not a recording/)
  await assert.rejects(Recording.open(at('fifo.rec')), /is not a regular file/)
})

test('one server at a time writes a file, and only its owner may read it', async (t) => {
  const file = path.join(temporaryFolder(t), 'requests.rec')
  const first = await RingFile.open(file, 1)
  await first.write([finished(1, 10)])
  await assert.rejects(RingFile.open(file, 1), /another server records to it/)
  await first.close()
  chmodSync(file, 0o644)
  const second = await RingFile.open(file, 1)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  await second.write([finished(2, 10)])
  await second.close()
  assert.deepEqual(await numbersIn(file), [1, 2])
})
