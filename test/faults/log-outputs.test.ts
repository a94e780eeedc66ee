/**
 * Block O, row O19: the command with a log on a full disk, in a pipe without a reader, or closed.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, readSync, truncateSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { parseMetrics } from '../helpers/prometheus.ts'
import { FLOWER, iris, residentBytes } from '../helpers/server-process.ts'
import { CLI, serverEnvironment, temporaryFolder, until } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { isFull } from './harness.ts'

const SERVE = `exec "${process.execPath}" "${CLI}" serve --port 0 --management-port 0 --drain-timeout 2 --stop-delay 0`
/** With `--drain-timeout 2 --stop-delay 0` the process has ended after this time. */
const GOAL_MS = 3000
/** The same on a busy machine. */
const END_MS = GOAL_MS + 2000

interface Started {
  readonly child: ChildProcess
  readonly inference: string
  readonly management: string
}

/**
 * Starts the command in a shell. The shell runs `script` first and applies `redirections` to the
 * command. One stream must go to `output` in the folder, so that the URLs are found.
 */
async function start(
  t: TestContext,
  folder: string,
  script: string,
  redirections: string,
  stderr: 'ignore' | 'pipe' = 'ignore',
): Promise<Started> {
  const child = spawn('bash', ['-c', `${script}\n${SERVE} "${iris}" ${redirections}`], {
    cwd: folder,
    env: { ...serverEnvironment(), TMPDIR: folder },
    stdio: ['ignore', 'ignore', stderr],
  })
  t.after(() => child.kill('SIGKILL'))
  const urls = await until(() => {
    assert.equal(child.exitCode, null, 'the server starts')
    const text = textOf(path.join(folder, 'output'))
    const found = [...new Set(text.match(/http:\/\/127\.0\.0\.1:\d+/g))]
    return found.length >= 2 && found
  }, 60_000)
  const [inference = '', management = ''] = urls
  await until(async () => (await fetch(`${inference}/ping`)).ok, 60_000)
  return { child, inference, management }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

async function dropped({ management }: Started): Promise<number> {
  const text = await (await fetch(`${management}/metrics`)).text()
  return parseMetrics(text).get('onnxd_log_lines_dropped_total') ?? Number.NaN
}

async function predict({ inference }: Started, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    const response = await fetch(`${inference}/predictions/iris`, FLOWER)
    assert.equal(response.status, 200)
    await response.text()
  }
}

/** Has `count` long lines logged. */
async function fillLog({ inference }: Started, count: number): Promise<void> {
  const headers = { 'x-request-id': 'x'.repeat(128) }
  for (let done = 0; done < count; done += 10) {
    await Promise.all(
      Array.from({ length: 10 }, async () =>
        (await fetch(`${inference}/ping`, { headers })).text(),
      ),
    )
  }
}

/** Stops it and returns how long that took. */
async function assertEnds({ child }: Started): Promise<number> {
  const exited = once(child, 'exit')
  const started = performance.now()
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
  const ms = performance.now() - started
  assert.ok(ms < END_MS, `ended after ${ms} ms`)
  return ms
}

function reportEnd(t: TestContext, when: string, times: readonly number[]): void {
  const worst = Math.max(...times)
  reportFigure(t, {
    what: `exit after SIGTERM: with ${when}`,
    goal: '≤ drain + 1 s',
    seen: `${(worst / 1000).toFixed(2)} s, drain 2 s`,
    isMet: worst <= GOAL_MS,
  })
}

test('O19 a server whose log disk is full serves on, says what is missing when there is room, and ends', async (t) => {
  const folder = temporaryFolder(t)
  const log = path.join(folder, 'log')
  const server = await start(t, folder, 'ulimit -f 16', '2>>log >output')
  await fillLog(server, 120)
  const missing = await until(async () => (await dropped(server)) > 10 && dropped(server))
  assert.ok(textOf(log).length <= 16_384)

  truncateSync(log)
  await predict(server, 1)
  const notice = await until(() => /^\{.*"dropped":.*\}$/m.exec(textOf(log))?.[0])
  const { dropped: told, cause, level } = JSON.parse(notice)
  assert.deepEqual({ cause, level }, { cause: 'EFBIG', level: 40 })
  assert.ok(told >= missing && told <= (await dropped(server)), `${told} of ${missing}`)
  for (const line of textOf(log).split('\n').slice(0, -1)) {
    if (line !== '') assert.doesNotThrow(() => JSON.parse(line), line)
  }
  const times = [await assertEnds(server)]
  // Full at the end: what is logged while the server stops finds no room either.
  for (const redirections of ['>output 2>/dev/full', '2>>log >output']) {
    const full = await start(t, temporaryFolder(t), 'ulimit -f 16', redirections)
    await fillLog(full, 120)
    await until(async () => (await dropped(full)) > 10)
    times.push(await assertEnds(full))
  }
  reportEnd(t, 'the log disk full', times)
})

test('O19 outputs that take nothing, or are closed, cost no model and no end', async (t) => {
  for (const [redirections, isDropped] of [
    ['>output 2>/dev/full', true],
    ['>output 2> >(exit)', true],
    ['>output 2>&-', false],
    ['>/dev/full 2>output', false],
    ['> >(head -1 >/dev/null) 2>output', false],
    ['<&- >&- 2>output', false],
  ] as const) {
    const server = await start(t, temporaryFolder(t), '', redirections)
    await predict(server, 3)
    if (isDropped) await until(async () => (await dropped(server)) >= 3, 10_000)
    else assert.equal(await dropped(server), 0, redirections)
    await assertEnds(server)
  }
})

test('O19 a server ends in time while nobody empties the pipe or socket of its log', async (t) => {
  const folder = temporaryFolder(t)
  execFileSync('mkfifo', [path.join(folder, 'fifo')])
  const fifo = openSync(path.join(folder, 'fifo'), constants.O_RDWR | constants.O_NONBLOCK)
  t.after(() => closeSync(fifo))
  const stalled = await start(t, folder, '', '>output 2>fifo')
  await fillLog(stalled, 500)
  assert.equal(await dropped(stalled), 0)
  const times = [await assertEnds(stalled)]
  const kept = readSync(fifo, Buffer.alloc(1024 * 1024))
  assert.ok(kept > 30_000, `${kept} bytes in the pipe`)

  // What Node gives a child as a pipe is a socket.
  const other = temporaryFolder(t)
  const unread = await start(t, other, '', '>output', 'pipe')
  await fillLog(unread, 1500)
  await predict(unread, 1)
  times.push(await assertEnds(unread))
  reportEnd(t, 'the reader of the log stuck', times)
})

if (isFull) test('O19 what waits for a stuck reader has a limit', assertLimited)

async function assertLimited(t: TestContext): Promise<void> {
  const server = await start(t, temporaryFolder(t), '', '>output', 'pipe')
  const pid = server.child.pid ?? 0
  while ((await dropped(server)) === 0) await fillLog(server, 1000)
  const [bytes, lines] = [residentBytes([pid]), await dropped(server)]
  await fillLog(server, 20_000)
  assert.ok((await dropped(server)) >= lines + 20_000)
  const grown = residentBytes([pid]) - bytes
  t.diagnostic(`${(grown / 2 ** 20).toFixed(1)} MiB more after 20000 lines that nobody reads`)
  // They have 8 MB; the rest is the heap, which is not collected at once.
  assert.ok(grown < 8 * 2 ** 20, `${grown} bytes`)
  await assertEnds(server)
}
