/** Standard output and standard error while whoever reads them is slow, gone, or a full disk. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Output } from '../../src/command/output.ts'
import { assertSame } from '../helpers/same.ts'
import { temporaryFolder, until } from '../helpers/server.ts'

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants
/** Most that a pipe holds, and most that waits for it. */
const PIPE_BYTES = 64 * 1024
const WAITING_BYTES = 4 * 1024 * 1024
const LINE_BYTES = 100

const notice = (lines: number, cause: string): string => `dropped ${lines} ${cause}\n`
const numbered = (number: number): string => `${String(number).padStart(LINE_BYTES - 1, '0')}\n`

function open(t: TestContext, file: string, flags: number): number {
  const fd = openSync(file, flags)
  t.after(() => closeSync(fd))
  return fd
}

function newFifo(t: TestContext): string {
  const file = path.join(temporaryFolder(t), 'fifo')
  execFileSync('mkfifo', [file])
  return file
}

/** What a pipe holds now. */
function readAvailable(fd: number): string {
  const chunks: Buffer[] = []
  for (;;) {
    const chunk = Buffer.alloc(PIPE_BYTES)
    try {
      const size = readSync(fd, chunk)
      if (size === 0) break
      chunks.push(chunk.subarray(0, size))
    } catch {
      break
    }
  }
  return Buffer.concat(chunks).toString()
}

/** Reads until the text ends as it should. */
async function readUntil(fd: number, end: string): Promise<string[]> {
  let text = ''
  await until(() => {
    text += readAvailable(fd)
    return text.endsWith(end)
  })
  return text.split('\n').slice(0, -1)
}

test('B2: what a pipe does not take waits in bounded memory; the rest is counted and told of in its place', async (t) => {
  const fd = open(t, newFifo(t), O_RDWR | O_NONBLOCK)
  const output = new Output(fd, notice)
  const count = 100_000
  for (let number = 0; number < count; number += 1) output.write(numbered(number))
  const kept = count - output.dropped
  assert.ok(kept * LINE_BYTES <= PIPE_BYTES + WAITING_BYTES, `${kept} lines wait`)
  assert.ok(kept * LINE_BYTES > WAITING_BYTES, `${kept} lines wait`)

  const lines = await readUntil(fd, notice(output.dropped, 'EAGAIN'))
  assert.deepEqual(
    lines.slice(0, -1),
    Array.from({ length: kept }, (_, number) => numbered(number).trim()),
  )
  const dropped = output.dropped
  output.write('afterwards\n')
  assert.deepEqual(await readUntil(fd, 'afterwards\n'), ['afterwards'])
  assert.equal(output.dropped, dropped)
})

test('B2: a reader slower than the lines gets whole lines, and notices that add up to the missing ones', async (t) => {
  const fd = open(t, newFifo(t), O_RDWR | O_NONBLOCK)
  const output = new Output(fd, notice)
  const count = 400_000
  let text = ''
  for (let number = 0; number < count; number += 1) {
    output.write(numbered(number))
    if (number % 2000 !== 0) continue
    await new Promise((resolve) => setImmediate(resolve))
    text += readAvailable(fd)
  }
  output.write('end\n')
  await until(() => {
    output.write('end\n')
    text += readAvailable(fd)
    return text.endsWith('end\n')
  })
  let expected = 0
  let told = 0
  for (const line of text.split('\n').filter((each) => each !== '' && each !== 'end')) {
    const [, dropped] = /^dropped (\d+) EAGAIN$/.exec(line) ?? []
    if (dropped === undefined) assert.equal(Number(line), expected++, line)
    else {
      told += Number(dropped)
      expected += Number(dropped)
    }
  }
  assert.equal(told, output.dropped)
})

test('B2: a full disk takes nothing, and nothing else happens', async (t) => {
  const output = new Output(open(t, '/dev/full', O_WRONLY), notice)
  for (let number = 0; number < 1000; number += 1) output.write(numbered(number))
  await output.flush()
  assert.equal(output.dropped, 1000)
  output.write('three\nlines\nmore\n')
  output.flushSync()
  await output.flush()
  assert.equal(output.dropped, 1003)
})

test('B2: a pipe without a reader gets its lines once it has one', async (t) => {
  for (const isBeforeFirst of [true, false]) {
    const file = newFifo(t)
    const first = openSync(file, O_RDONLY | O_NONBLOCK)
    const output = new Output(open(t, file, O_WRONLY), notice)
    if (!isBeforeFirst) {
      output.write('read\n')
      await readUntil(first, 'read\n')
    }
    closeSync(first)
    output.write('lost\n')
    await output.flush()
    assert.equal(output.dropped, 1)

    const second = open(t, file, O_RDONLY | O_NONBLOCK)
    output.write('seen\n')
    const cause = isBeforeFirst ? 'ENXIO' : 'EPIPE'
    assert.deepEqual(await readUntil(second, 'seen\n'), [notice(1, cause).trim(), 'seen'])
  }
})

test('B2: the end waits a moment for a pipe that is full, and once only', async (t) => {
  const fd = open(t, newFifo(t), O_RDWR | O_NONBLOCK)
  const output = new Output(fd, notice)
  output.write('x'.repeat(PIPE_BYTES))
  output.write('last\n')
  const started = performance.now()
  for (let time = 0; time < 10; time += 1) {
    await output.flush()
    output.flushSync()
  }
  const ms = performance.now() - started
  assert.ok(ms > 100 && ms < 2000, `${ms} ms`)

  const reading = readAvailable(fd)
  output.flushSync()
  assertSame(reading + readAvailable(fd), `${'x'.repeat(PIPE_BYTES)}last\n`)
})

test('B2: a file gets every line, in order, also those of the end', async (t) => {
  const file = path.join(temporaryFolder(t), 'log')
  const output = new Output(open(t, file, O_WRONLY | constants.O_CREAT), notice)
  const count = 10_000
  for (let number = 0; number < count; number += 1) {
    output.write(numbered(number))
    if (number % 1000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await output.flush()
  output.write(numbered(count))
  output.flushSync()
  assertSame(
    readFileSync(file, 'utf8'),
    Array.from({ length: count + 1 }, (_, number) => numbered(number)).join(''),
  )
  assert.equal(output.dropped, 0)
})
