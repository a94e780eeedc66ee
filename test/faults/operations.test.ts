/** Block O: starts that must fail, servers that are killed or fail, and changes of the clock. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import type { Command, CommandOptions } from '../helpers/command.ts'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { httpProcesses, oneProcess, workersFor } from '../helpers/http-processes.ts'
import { queuedRequests } from '../helpers/observe.ts'
import { asUser, needsOtherUser } from '../helpers/other-user.ts'
import { FLOWER, iris, processesNaming } from '../helpers/server-process.ts'
import { childrenOf, isAlive, listing, serve, temporaryFolder, until } from '../helpers/server.ts'
import { size } from './harness.ts'

const OTHER_USER = 12_345
const AS_USER: CommandOptions = { prefix: asUser(OTHER_USER) }
/**
 * The fault plan allows two seconds to reject a start and one second to exit. The machine that runs
 * the tests may be busy.
 */
const REFUSE_MS = 2000 + 6000
const END_MS = 1000 + 4000

/**
 * Fails unless the command has exited by itself with one message that matches `pattern` and has
 * left no files.
 */
async function assertRefused(command: Command, pattern: RegExp, exitCode = 1): Promise<void> {
  const { code, signal, ms } = await command.ended
  assert.deepEqual([code, signal], [exitCode, null], command.errors())
  const messages = command.errors().split('\n')
  const own = messages.filter((line) => line.startsWith('onnxd: '))
  assert.equal(own.length, 1, command.errors())
  assert.match(own[0] ?? '', pattern)
  const others = messages.filter((line) => line !== '' && !/^(?:onnxd: |\{)/.test(line))
  assert.deepEqual(others, [], 'no stack and nothing else')
  assert.ok(ms < REFUSE_MS, `${ms} ms`)
  assert.equal(command.output(), '')
  assert.deepEqual(processesNaming(command.temporary), [])
}

/** A port of this machine on which somebody listens. */
async function takenPort(t: TestContext): Promise<string> {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  return String((other.address() as AddressInfo).port)
}

test('O05 a listener that cannot be had ends the start with one line, and leaves nothing', async (t) => {
  const port = await takenPort(t)
  const both = ['--port', port, '--management-port', port]
  const cases: [args: string[], message: RegExp][] = [
    [['--port', port], /127\.0\.0\.1:\d+ \(EADDRINUSE\): the port is in use.* --port\./],
    [['--management-port', port], /127\.0\.0\.1:\d+ \(EADDRINUSE\).* --management-port\./],
    [both, /127\.0\.0\.1:\d+ \(EADDRINUSE\)/],
    // The first listener has all addresses of this port, so there is none left for the second.
    [[...both, '--host', '0.0.0.0'], /EADDRINUSE/],
    [['--host', '192.0.2.1'], /192\.0\.2\.1:\d+ \(EADDRNOTAVAIL\).* --host\./],
    [['--host', 'no-such-host.invalid'], /no-such-host\.invalid.* the host name is unknown/],
  ]
  for (const [args, message] of cases) {
    const command = startCommand(t, [...args, iris])
    await assertRefused(command, message)
    assert.deepEqual(readdirSync(command.temporary), [], args.join(' '))
  }
})

test('O05 a privileged port is refused to a user', { skip: needsOtherUser }, async (t) => {
  const from = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1'))
  if (from <= 80) return t.skip('every port is free to every user here')
  const temporary = publicFolder(t)
  const command = startCommand(t, ['--port', '80', iris], { ...AS_USER, temporary })
  await assertRefused(command, /127\.0\.0\.1:80 \(EACCES\)/)
  assert.deepEqual(readdirSync(temporary), [])
})

/** A folder in which every user may make files. */
function publicFolder(t: TestContext): string {
  const folder = path.join(temporaryFolder(t), 't')
  chmodSync(path.dirname(folder), 0o755)
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  return folder
}

test('O06 a folder that cannot hold the runtime files ends the start with one line', async (t) => {
  const parent = temporaryFolder(t)
  const state = (folder: string): string[] => ['--state-dir', path.join(parent, folder), iris]
  writeFileSync(path.join(parent, 'file'), '')
  symlinkSync('loop', path.join(parent, 'loop'))
  const refused = async (args: string[], temporary: string, message: RegExp): Promise<void> => {
    mkdirSync(path.join(parent, 'ok'), { recursive: true })
    const command = startCommand(t, args, {
      environment: {},
      temporary: path.join(parent, 'ok'),
      prefix: ['env', `TMPDIR=${path.join(parent, temporary)}`],
    })
    await assertRefused(command, message)
    assert.deepEqual(readdirSync(path.join(parent, 'ok')), [])
  }
  const long = 'x'.repeat(90)
  mkdirSync(path.join(parent, long))
  await refused([iris], long, /is too long for unix sockets\. Set TMPDIR/)
  assert.deepEqual(readdirSync(path.join(parent, long)), [])
  await refused([iris], 'missing', /ENOENT.*mkdtemp/)
  await refused([iris], 'file', /ENOTDIR.*mkdtemp/)
  await refused([iris], 'loop', /ELOOP.*mkdtemp/)
  await refused(state('file'), 'ok', /State folder .*file/)
  await refused(state('file/deeper'), 'ok', /State folder .*deeper cannot be created/)
})

test('O06 the same where another user owns the folder', { skip: needsOtherUser }, async (t) => {
  const temporary = publicFolder(t)
  chmodSync(temporary, 0o755)
  await assertRefused(startCommand(t, [iris], { ...AS_USER, temporary }), /EACCES.*mkdtemp/)
  chmodSync(temporary, 0o777)
  const state = path.join(temporaryFolder(t), 'state')
  const args = ['--state-dir', state, iris]
  await assertRefused(startCommand(t, args, { ...AS_USER, temporary }), /State folder .*cannot be/)
  assert.deepEqual(readdirSync(temporary), [])
})

test('O08 a server that was killed starts again, serves what was registered and sweeps', async (t) => {
  const temporary = path.join(temporaryFolder(t), 't')
  const stateDir = temporaryFolder(t)
  const args = ['--state-dir', stateDir, '--allow-local-paths', `first=${iris}`]
  const killed = startCommand(t, args, { temporary })
  const { management } = await killed.ready()
  const url = `${management}/models?url=${iris}&model_name=second`
  assert.equal((await fetch(url, { method: 'POST' })).status, 200)
  const [abandoned = ''] = readdirSync(temporary)
  const before = listing(path.join(temporary, abandoned))
  assert.deepEqual(before.slice(0, 2), ['server.sock', 'w1'])
  await killed.end('SIGKILL')

  const startedAt = performance.now()
  const next = startCommand(t, args, { temporary })
  const { inference } = await next.ready()
  const ms = performance.now() - startedAt
  t.diagnostic(`ready after ${ms.toFixed(0)} ms`)
  assert.ok(ms < 2000 + 6000, `${ms} ms`)
  for (const model of ['first', 'second'])
    assert.equal((await fetch(`${inference}/predictions/${model}`, FLOWER)).status, 200, model)
  const left = readdirSync(temporary)
  assert.deepEqual([left.length, left.includes(abandoned)], [httpProcesses, false])
  assert.equal((await next.end('SIGTERM')).code, 0)
  assert.deepEqual(readdirSync(temporary), [])
})

test('O09 servers side by side sweep what the dead left and leave the living alone', async (t) => {
  const temporary = path.join(temporaryFolder(t), 't')
  const stateDir = temporaryFolder(t)
  const dead = startCommand(t, ['--state-dir', stateDir, `m=${iris}`], { temporary })
  await dead.ready()
  const [abandoned = ''] = readdirSync(temporary)
  const workers = childrenOf(dead.pid)
  assert.equal(workers.length, workersFor(1))
  await dead.end('SIGKILL')
  await until(() => workers.every((pid) => !isAlive(pid)), 5000)

  // The lock of the dead server is in the state folder, its socket and worker in the other one.
  assert.ok(readdirSync(stateDir).some((name) => name.startsWith('lock-')))
  const living = startCommand(t, ['--state-dir', stateDir, `m=${iris}`], { temporary })
  const { inference } = await living.ready()
  const [theirs = '', ...others] = readdirSync(temporary)
  assert.deepEqual([others.length, theirs === abandoned], [httpProcesses - 1, false])
  const held = listing(path.join(temporary, theirs))
  const locks = readdirSync(stateDir)

  const second = startCommand(t, [`m=${iris}`], { temporary })
  await second.ready()
  await assertRefused(
    startCommand(t, ['--state-dir', stateDir, iris], { temporary: `${temporary}2` }),
    new RegExp(`in use by another server \\(process id ${living.pid}`),
  )
  assert.deepEqual(listing(path.join(temporary, theirs)), held)
  assert.deepEqual(readdirSync(stateDir), locks)
  assert.equal((await fetch(`${inference}/predictions/m`, FLOWER)).status, 200)
  assert.equal((await second.end('SIGTERM')).code, 0)
  assert.deepEqual(readdirSync(temporary), [theirs, ...others])
  assert.equal((await living.end('SIGTERM')).code, 0)
  assert.deepEqual(readdirSync(temporary), [])
})

/** Runs in the server before its own code; a worker does not get the variable that names it. */
function preloaded(t: TestContext, code: string): NodeJS.ProcessEnv {
  const file = path.join(temporaryFolder(t), 'preloaded.cjs')
  writeFileSync(file, code)
  return { NODE_OPTIONS: `--require ${file}` }
}

test('O10 an error that nobody catches ends the server at once, and its workers with it', async (t) => {
  const folder = temporaryFolder(t)
  const model = handlerModel(t, 'm', { workers: 1 })
  const faults = [
    ['throw', 'setImmediate(() => { throw new Error("a defect") })', /"level":60.*a defect/],
    ['undefined', 'setImmediate(() => { throw undefined })', /"level":60/],
    ['reject', 'Promise.reject(new Error("a defect"))', /"level":60.*a defect/],
    ['null', 'Promise.reject(null)', /"level":60/],
    ['heap', 'const kept = []; for (;;) kept.push(new Array(1e5).fill({}))', /heap out of memory/],
  ] as const
  for (const [name, fault, said] of faults.slice(0, size(2, faults.length))) {
    const trigger = path.join(folder, name)
    const code = `const { existsSync } = require('node:fs')
      const timer = setInterval(() => {
        if (!existsSync(${JSON.stringify(trigger)})) return
        clearInterval(timer)
        ${fault}
      }, 10).unref()`
    const environment = preloaded(t, code)
    if (name === 'heap') environment.NODE_OPTIONS += ' --max-old-space-size=96'
    const args = ['--allow-handlers', '--stop-delay', '30', '--drain-timeout', '30', model]
    const command = startCommand(t, args, { environment })
    const { inference } = await command.ready()
    const request = { method: 'POST', body: 'spin' }
    const lost = fetch(`${inference}/predictions/m`, request).catch(() => 'lost')
    const workers = childrenOf(command.pid)
    await until(() => workers.some((worker) => processorTicks(worker) > 30))
    const faultAt = performance.now()
    writeFileSync(trigger, '')
    const { code: exitCode, signal } = await command.ended
    const ms = performance.now() - faultAt
    // V8 aborts when its heap is full; the rest is an exit code.
    assert.deepEqual([exitCode, signal], name === 'heap' ? [null, 'SIGABRT'] : [1, null], name)
    assert.match(command.errors(), said, name)
    if (name !== 'heap') assert.ok(ms < END_MS, `${name}: ended after ${ms} ms`)
    await until(() => !workers.some(isAlive), 5000)
    assert.equal(await lost, 'lost')
    // A further HTTP process ends a moment later.
    await until(() => processesNaming(command.temporary).length === 0, 5000)
    if (name !== 'heap') await until(() => readdirSync(command.temporary).length === 0, 5000)
  }
})

/** Processor time of a process, in hundredths of a second. */
function processorTicks(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')
  return Number(fields.split(' ')[11])
}

/** Shifts the wall clock of a process by the hours in a file. Its monotonic clock is unchanged. */
const CLOCK = (file: string): string => `
  const { readFileSync } = require('node:fs')
  const RealDate = Date
  const shift = () => {
    try { return Number(readFileSync(${JSON.stringify(file)}, 'utf8')) * 3_600_000 } catch { return 0 }
  }
  globalThis.Date = class extends RealDate {
    constructor(...parts) { parts.length === 0 ? super(RealDate.now() + shift()) : super(...parts) }
    static now() { return RealDate.now() + shift() }
  }`

test(
  'O14 a wall clock that is set by an hour changes no timeout, backoff or age',
  { skip: oneProcess('its queue and its worker') },
  async (t) => {
    const clock = path.join(temporaryFolder(t), 'hours')
    const environment = preloaded(t, CLOCK(clock))
    const settings = { responseTimeout: 1, queueTimeout: 5, recycleAfterSeconds: 1800, workers: 1 }
    const models = [handlerModel(t, 'm')]
    const server = await serve(t, models, { allowHandlers: true, ...settings }, { environment })
    const send = async (body: string): Promise<[number, string]> => {
      const answer = await server.fetch('/predictions/m', { method: 'POST', body })
      return [answer.status, await answer.text()]
    }
    const gate = newGate(t)
    const [, pid] = await send('pid')
    const held = send(`wait:${gate.path}`)
    await gate.holds(1)
    const queued = send('echo:queued')
    await until(async () => (await queuedRequests(server, 'm')) === 1)
    writeFileSync(clock, '1')
    const shown = JSON.parse(await (await server.manage('/models/unknown')).text())
    assert.equal(shown.code, 404)
    // Workers are looked at once a second: by the wall clock this one is too old now.
    await new Promise((resolve) => setTimeout(resolve, 300))
    gate.open()
    assert.deepEqual(
      [await held, await queued],
      [
        [200, 'waited'],
        [200, 'queued'],
      ],
    )
    await new Promise((resolve) => setTimeout(resolve, 1200))
    assert.deepEqual(await send('pid'), [200, pid], 'the worker is the same')
    const { time } = await server.logged(({ time: at }) => Number(at) > Date.now() + 3_000_000)
    assert.ok(Number(time) > Date.now(), 'the server has seen the clock')

    const startedAt = performance.now()
    const endless = send('spin')
    await new Promise((resolve) => setTimeout(resolve, 300))
    writeFileSync(clock, '-1')
    assert.equal((await endless)[0], 504)
    const ms = performance.now() - startedAt
    assert.ok(ms > 900 && ms < 5000, `${ms} ms`)
    // The worker that was killed at its deadline is started again, however the clock is set.
    assert.deepEqual(await send('echo:back'), [200, 'back'])
  },
)

/**
 * Reads the wall clock to compare it with the time of a file or the start of the process, and to
 * write a time for people or for a trace.
 */
const COMPARES_WALL_CLOCK = [
  'command/client/list.ts',
  'command/log-format.ts',
  'models/metrics/server-families/process.ts',
  'models/weights/entry-list.ts',
  'models/weights/source-files.ts',
  'pages/shared/format.ts',
  'routes/console/snapshot.ts',
  'routes/tracing/open-telemetry.ts',
  'worker/host/runtime-directory.ts',
]

test('O14 the program measures time by the monotonic clock', () => {
  const measures = /Date\.now\(\)[^\n]{0,10}\s[-+<>]|[-+<>]=?\s*Date\.now\(\)|\.getTime\(\)/
  const found = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .filter((name) => measures.test(readFileSync(path.join('src', name), 'utf8')))
  assert.deepEqual(found.toSorted(), COMPARES_WALL_CLOCK)
})
