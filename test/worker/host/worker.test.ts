/** The front-end's side of a worker, against real processes that behave and that do not. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { ServerError } from '../../../src/errors.ts'
import { watchForStop } from '../../../src/worker/host/child-process/stopped-process.ts'
import { WorkerDiedError } from '../../../src/worker/host/outcomes.ts'
import { ownWorker, workerEnvironment } from '../../../src/worker/host/own-worker.ts'
import { RuntimeDirectory } from '../../../src/worker/host/runtime-directory.ts'
import type { Worker } from '../../../src/worker/host/worker.ts'
import type { WorkerReply } from '../../../src/worker/wire/messages.ts'
import { LOAD, loadedFake, request, startFake } from '../../helpers/fake-worker.ts'
import type { FakeProcess } from '../../helpers/fake-worker.ts'
import { isAlive } from '../../helpers/server.ts'
import { until } from '../../helpers/until.ts'

const bodies = ({ predictions }: WorkerReply): string[] =>
  predictions.map(({ body }) => body.toString())

/** Never answers a batch, and says when one has come. */
const HELD = `onPredict = () => console.log('a batch came')`
const isHeld = (lines: FakeProcess['lines']): boolean =>
  lines.some(({ line }) => line.includes('a batch came'))

/** A batch whose worker dies: says how, and whether the batch had started. */
async function deathOf(
  answer: Promise<unknown>,
): Promise<{ text: string; hadStarted: boolean; statusCode: number }> {
  const error: unknown = await answer.then(
    () => assert.fail('the batch was answered'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof WorkerDiedError, String(error))
  return { text: error.message, hadStarted: error.hadStarted, statusCode: error.statusCode }
}

/** Pid of a worker that runs. */
function pidOf(worker: Worker): number {
  assert.ok(worker.pid !== undefined)
  return worker.pid
}

/** Waits until the worker has printed a line with `text`. */
async function printed({ lines }: FakeProcess, text: string): Promise<string> {
  await until(`the worker prints ${text}`, () => lines.some(({ line }) => line.includes(text)))
  return lines.find(({ line }) => line.includes(text))?.line ?? ''
}

test('a worker starts, loads, responds and stops', async (t) => {
  const fake = startFake(
    t,
    `
    onLoad = (socket, message) => { console.log(JSON.stringify(message)); socket.write(frame({})) }
    // Long enough that a stop that does not wait would be seen.
    onTerm = () => setTimeout(() => { console.error('bye'); process.exit(0) }, 400)`,
  )
  const { worker, lines } = fake
  assert.equal(worker.state, 'starting')
  assert.deepEqual(await deathOf(worker.predict([request('a')])), {
    text: 'Worker died: it was not ready.',
    hadStarted: false,
    statusCode: 500,
  })
  await worker.ready
  assert.equal(worker.state, 'ready')
  assert.deepEqual(JSON.parse(await printed(fake, 'command')), LOAD)
  assert.deepEqual(bodies(await worker.predict([request('a'), request('b', 'ü\0')])), ['a', 'ü\0'])
  assert.deepEqual([worker.servedRequests, worker.inFlight], [2, 0])
  await Promise.all([worker.stop(), worker.stop()])
  assert.deepEqual(await worker.exited, { code: 0, signal: null, text: 'exited with code 0' })
  assert.deepEqual(lines.at(-1), { stream: 'stderr', line: 'bye' })
  assert.equal(worker.state, 'stopped')
})

test('a worker that does not stop when asked is killed after a moment', async (t) => {
  const { worker } = await loadedFake(t, 'onTerm = () => {}')
  const pid = pidOf(worker)
  const started = performance.now()
  await worker.stop()
  assert.ok(performance.now() - started >= 1900)
  assert.deepEqual(await worker.exited, { code: null, signal: 'SIGKILL', text: 'was told to stop' })
  assert.equal(isAlive(pid), false)
})

for (const [what, behaviour, type, pattern] of [
  [
    'the reply is 400',
    `onLoad = (socket) => socket.write(frame({ code: 400, message: 'no such file' }))`,
    'InvalidModelException',
    /no such file/,
  ],
  [
    'the reply is 403',
    `onLoad = (socket) => socket.write(frame({ code: 403, message: 'no code' }))`,
    'HandlersNotAllowedException',
    /no code/,
  ],
  [
    'the reply is 507',
    `onLoad = (socket) => socket.write(frame({ code: 507, message: 'System out of memory' }))`,
    'InsufficientMemoryException',
    /out of memory/,
  ],
  [
    'the reply has a code of its own',
    `onLoad = (socket) => socket.write(frame({ code: 42, message: 'odd' }))`,
    'InternalServerException',
    /odd/,
  ],
  [
    'the connection is closed without a reply',
    `onLoad = (socket) => socket.destroy()`,
    'InternalServerException',
    /the worker closed its connection/,
  ],
  [
    'the process exits while it loads',
    `onLoad = () => process.exit(3)`,
    'InternalServerException',
    /the worker exited with code 3/,
  ],
  [
    'the process crashes while it loads',
    `onLoad = () => process.kill(process.pid, 'SIGSEGV')`,
    'InvalidModelException',
    /the worker was killed by SIGSEGV/,
  ],
  [
    'the process ends before it listens',
    `process.exit(0)`,
    'InternalServerException',
    /the worker exited with code 0/,
  ],
  [
    'the script has an error',
    `throw new Error('oops')`,
    'InternalServerException',
    /the worker exited with code 1/,
  ],
  [
    'the reply is garbage',
    `onLoad = (socket) => socket.write(Buffer.alloc(64, 0xff))`,
    'InternalServerException',
    /the worker violated the worker protocol/,
  ],
  [
    'it says it listens and does not',
    `console.log('fake worker ready'); setInterval(() => {}, 1000); await new Promise(() => {})`,
    'InternalServerException',
    /the worker did not accept the connection/,
  ],
] as const) {
  test(`loading fails, and no process is left, when ${what}`, async (t) => {
    const { worker } = startFake(t, behaviour)
    const pid = pidOf(worker)
    await assert.rejects(worker.ready, (error) => {
      assert.ok(error instanceof ServerError)
      assert.equal(error.type, type)
      assert.match(error.message, /^Failed to start workers: /)
      assert.match(error.message, pattern)
      return true
    })
    await worker.exited
    assert.deepEqual([worker.state, isAlive(pid)], ['stopped', false])
    assert.equal((await deathOf(worker.predict([request('a')]))).hadStarted, false)
    await worker.stop()
  })
}

for (const [what, behaviour] of [
  ['never says that it listens', 'onReady = () => {}'],
  ['never answers the load request', 'onLoad = () => {}'],
  ['hangs before it listens', 'for (;;);'],
] as const) {
  test(`a worker that ${what} is killed at the load timeout`, async (t) => {
    const started = performance.now()
    const { worker } = startFake(t, behaviour, { loadTimeoutMs: 300 })
    const pid = pidOf(worker)
    await assert.rejects(worker.ready, {
      type: 'ResponseTimeoutException',
      message: 'Failed to start workers: the worker took longer than 0.3 s.',
    })
    const tookMs = performance.now() - started
    assert.ok(tookMs >= 299, `${tookMs} ms`)
    await until('the process is gone', () => !isAlive(pid))
  })
}

test('a worker that cannot be started says so without naming paths', async (t) => {
  const child = {
    command: '/nowhere/at-all',
    args: [],
    workingDirectory: tmpdir(),
    environment: {},
  }
  for (const broken of [
    child,
    { ...child, command: process.execPath, workingDirectory: '/nowhere/at-all' },
    { ...child, args: ['a\0b'] },
  ]) {
    const { worker } = startFake(t, '', { child: broken })
    await assert.rejects(
      worker.ready,
      (error) =>
        error instanceof ServerError &&
        /could not be started \([A-Z_]+\)/.test(error.message) &&
        !error.message.includes('nowhere'),
    )
    assert.deepEqual([worker.pid, worker.state], [undefined, 'stopped'])
    await worker.stop()
  }
})

test('stopping a worker while it starts or loads ends it at once and fails its load', async (t) => {
  for (const behaviour of ['onReady = () => {}', 'onLoad = () => console.log("loading")']) {
    const fake = startFake(t, behaviour)
    if (behaviour.includes('onLoad')) await printed(fake, 'loading')
    const pid = pidOf(fake.worker)
    await fake.worker.stop()
    await assert.rejects(fake.worker.ready, { type: 'InternalServerException' })
    assert.deepEqual([isAlive(pid), fake.worker.state], [false, 'stopped'])
  }
})

test('a worker that is stopped just when its load is answered does not become ready', async (t) => {
  for (;;) {
    const { worker } = startFake(t)
    await until('it loads', () => worker.state !== 'starting')
    // On a busy machine it may be ready before this process looks.
    if (worker.state !== 'loading') continue
    const seen = new Set<string>()
    const watch = setInterval(() => seen.add(worker.state))
    t.after(() => clearInterval(watch))
    worker.kill('was killed by the test')
    await assert.rejects(worker.ready)
    assert.equal(seen.has('ready'), false)
    return
  }
})

test('replies come in the order of the requests with several in flight, split and joined anyhow', async (t) => {
  const { worker } = await loadedFake(
    t,
    `
    let waiting = []
    let round = 0
    const trickle = async (socket, bytes) => { for (const byte of bytes) { socket.write(Buffer.of(byte)); await new Promise(setImmediate) } }
    onPredict = (socket, requests) => {
      waiting.push(answers(requests))
      if (waiting.length < 8) return
      const all = Buffer.concat(waiting)
      waiting = []
      round += 1
      if (round === 1) socket.write(all)
      else if (round === 2) void trickle(socket, all)
      else socket.write(all.subarray(0, 7), () => setImmediate(() => socket.write(all.subarray(7))))
    }`,
  )
  for (let round = 0; round < 3; round += 1) {
    const replies = Array.from({ length: 8 }, (_, index) =>
      worker.predict([request(`${round}-${index}-a`), request(`${round}-${index}-b`)]),
    )
    assert.equal(worker.inFlight, 8)
    assert.deepEqual(
      (await Promise.all(replies)).map(bodies),
      replies.map((_, index) => [`${round}-${index}-a`, `${round}-${index}-b`]),
    )
  }
  assert.deepEqual([worker.servedRequests, worker.inFlight], [48, 0])
})

test('predictions are put into the order of their requests, and an overall error is returned unchanged', async (t) => {
  const { worker } = await loadedFake(
    t,
    `
    onPredict = (socket, requests) => socket.write(requests[0].id === 'bad'
      ? frame({ code: 507, message: 'Out of resources', predictions: requests.map(answer).slice(1) })
      : answers(requests.toReversed()))`,
  )
  assert.deepEqual(bodies(await worker.predict(['a', 'b', 'c'].map((id) => request(id)))), [
    'a',
    'b',
    'c',
  ])
  const reply = await worker.predict([request('bad'), request('b')])
  assert.deepEqual([reply.code, reply.message, worker.state], [507, 'Out of resources', 'ready'])
})

test('a worker that closes its connection and lives on is killed; nothing is sent to it any more', async (t) => {
  const { worker } = await loadedFake(t, `onPredict = (socket) => socket.destroy()`)
  const pid = pidOf(worker)
  assert.deepEqual(await deathOf(worker.predict([request('a')])), {
    text: 'Worker died: it closed its connection.',
    hadStarted: true,
    statusCode: 500,
  })
  assert.equal(isAlive(pid), false)
})

for (const [what, behaviour] of [
  ['computes without end', 'onPredict = () => { for (;;); }'],
  ['never answers', 'onPredict = () => {}'],
  [
    'stalls in the middle of a reply',
    'onPredict = (socket, requests) => { onPredict = () => {}; socket.write(answers(requests).subarray(0, -3)) }',
  ],
  ['never reads its socket', `onLoad = (socket) => { socket.write(frame({})); socket.pause() }`],
] as const) {
  test(`a worker that ${what} is killed at the response timeout, and what waited behind is innocent`, async (t) => {
    const { worker } = await loadedFake(t, behaviour, { responseTimeoutMs: 300 })
    const pid = pidOf(worker)
    const started = performance.now()
    const large = 'x'.repeat(1024 * 1024)
    const head = worker.predict([request('head', large)])
    const behind = deathOf(worker.predict([request('behind', large)]))
    await assert.rejects(head, {
      type: 'ResponseTimeoutException',
      message: 'The model did not respond within 0.3 s.',
    })
    const tookMs = performance.now() - started
    assert.ok(tookMs >= 299, `${tookMs} ms`)
    assert.equal((await behind).hadStarted, false)
    assert.equal(isAlive(pid), false)
  })
}

test('each batch has the whole response timeout for itself, however long those before it took', async (t) => {
  const { worker } = await loadedFake(
    t,
    `
    let busy = Promise.resolve()
    onPredict = (socket, requests) => { busy = busy.then(() => new Promise((resolve) => setTimeout(() => resolve(socket.write(answers(requests))), 200))) }`,
    { responseTimeoutMs: 400 },
  )
  const replies = await Promise.all(['a', 'b', 'c', 'd'].map((id) => worker.predict([request(id)])))
  assert.deepEqual(replies.flatMap(bodies), ['a', 'b', 'c', 'd'])
  // Longer than the response timeout.
  await delay(450)
  assert.equal(worker.state, 'ready', 'an idle worker has no deadline')
})

test('a stopped process is killed at the response timeout as well', async (t) => {
  const { worker } = await loadedFake(t, '', { responseTimeoutMs: 300 })
  const pid = pidOf(worker)
  process.kill(pid, 'SIGSTOP')
  await assert.rejects(worker.predict([request('a')]), { type: 'ResponseTimeoutException' })
  assert.equal(isAlive(pid), false)
})

test('E15: a stopped worker is noticed in seconds, idle, at work, or while it starts', async (t) => {
  const idle = await loadedFake(t)
  const busy = await loadedFake(t, HELD, { responseTimeoutMs: 600_000 })
  const starting = startFake(t, 'onReady = () => {}', { loadTimeoutMs: 600_000 })
  const answer = deathOf(busy.worker.predict([request('a')]))
  const loading = assert.rejects(starting.worker.ready, /stopped by a signal/)
  await until('the batch arrived', () => isHeld(busy.lines))
  for (const { worker } of [idle, busy, starting]) process.kill(pidOf(worker), 'SIGSTOP')
  for (const { worker } of [idle, busy, starting]) {
    assert.equal((await worker.exited).text, 'was stopped by a signal')
  }
  assert.match((await answer).text, /stopped by a signal/)
  await loading
})

test('E15: a process that goes on after a moment does not count as stopped', async (t) => {
  const { worker } = await loadedFake(t)
  const pid = pidOf(worker)
  let looks = 0
  let stops = 0
  const look = (): number => {
    looks += 1
    process.kill(pid, looks % 2 === 0 ? 'SIGCONT' : 'SIGSTOP')
    // A signal takes its effect when the process gets to run.
    const state = looks % 2 === 0 ? /\) [RS] / : /\) T /
    const deadline = performance.now() + 2000
    for (let stat = ''; !state.test(stat);) {
      stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      if (performance.now() > deadline) throw new Error(`look ${looks}: ${stat.slice(0, 40)}`)
    }
    return pid
  }
  // It ends before the worker does, which is the first thing that happens after the test.
  const endWatch = watchForStop(look, () => (stops += 1), 5)
  try {
    await until('it was looked at often', () => looks >= 20)
  } finally {
    endWatch()
  }
  assert.equal(stops, 0)
})

for (const [what, behaviour, text, statusCode] of [
  ['exits with 7', 'process.exit(7)', 'exited with code 7', 500],
  ['exits as if all were well', 'process.exit(0)', 'exited with code 0', 500],
  ['crashes', `process.kill(process.pid, 'SIGSEGV')`, 'was killed by SIGSEGV', 500],
  ['aborts', 'process.abort()', 'was killed by SIGABRT', 500],
  ['throws', `throw new Error('on purpose')`, 'exited with code 1', 500],
  [
    'aborts because its heap is full',
    `require('node:fs').writeSync(2, 'FATAL ERROR: JavaScript heap out of memory\\n' + ' 1: frame\\n'.repeat(50)); process.abort()`,
    'ran out of memory',
    507,
  ],
  [
    'only talks of memory',
    `require('node:fs').writeSync(2, 'JavaScript heap out of memory\\n'); process.exit(1)`,
    'exited with code 1',
    500,
  ],
  [
    'talks of memory and crashes',
    `require('node:fs').writeSync(2, 'JavaScript heap out of memory\\n'); process.kill(process.pid, 'SIGSEGV')`,
    'was killed by SIGSEGV',
    500,
  ],
  [
    'fills its heap',
    'const all = []; for (;;) all.push(new Array(10_000).fill(0.5))',
    'ran out of memory',
    507,
  ],
] as const) {
  test(`the batch of a worker that ${what} is told how it ended`, async (t) => {
    const { worker } = await loadedFake(
      t,
      `
      import { createRequire } from 'node:module'
      const require = createRequire(import.meta.url)
      onPredict = () => { ${behaviour} }`,
    )
    const head = deathOf(worker.predict([request('a')]))
    const behind = deathOf(worker.predict([request('b')]))
    assert.deepEqual(await head, { text: `Worker died: it ${text}.`, hadStarted: true, statusCode })
    assert.deepEqual(await behind, {
      text: `Worker died: it ${text}.`,
      hadStarted: false,
      statusCode,
    })
    assert.equal((await worker.exited).text, text)
  })
}

test('a worker that is killed from outside is seen, and the batch is told the signal', async (t) => {
  const { worker, lines } = await loadedFake(t, HELD)
  const death = deathOf(worker.predict([request('a')]))
  await until('the batch arrived', () => isHeld(lines))
  process.kill(pidOf(worker), 'SIGKILL')
  assert.deepEqual(await death, {
    text: 'Worker died: it was killed by SIGKILL.',
    hadStarted: true,
    statusCode: 500,
  })
})

test('how a worker ended is known even when the event loop was busy for longer than its exit may lag', async (t) => {
  const { worker } = await loadedFake(
    t,
    `onPredict = (socket) => { socket.destroy(); setTimeout(() => process.kill(process.pid, 'SIGSEGV'), 50) }`,
  )
  const death = deathOf(worker.predict([request('a')]))
  await until('the connection is closed', () => worker.state === 'stopping')
  // From here on the loop comes to its timers before it comes to the exit.
  await turn()
  const busyUntil = performance.now() + 500
  while (performance.now() < busyUntil);
  assert.equal((await death).text, 'Worker died: it was killed by SIGSEGV.')
})

test('what a worker started in a group of its own may live on, but keeps no descriptor of the server open', async (t) => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  await (await loadedFake(t)).worker.stop()
  // Descriptors of a worker are closed up to half a second after its end.
  await delay(600)
  const before = descriptors()
  const fake = await loadedFake(
    t,
    `const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: ['ignore', 'inherit', 'inherit'], detached: true })
    console.log('child', child.pid)`,
  )
  const child = Number((await printed(fake, 'child')).split(' ')[1])
  t.after(() => process.kill(child, 'SIGKILL'))
  fake.worker.kill('was killed by the test')
  await fake.worker.exited
  await until('all descriptors are closed', () => descriptors() <= before, 2000)
  assert.equal(isAlive(child), true)
})

for (const how of ['kill', 'exit'] as const) {
  test(`what a worker started goes with it when it ends by ${how}, and holds nothing open`, async (t) => {
    const fake = await loadedFake(
      t,
      `
      onPredict = (socket, requests) => {
        const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: ['ignore', 'inherit', 'inherit'] })
        console.log('child', child.pid)
        socket.write(answers(requests))
        if (requests[0].id === 'exit') setTimeout(() => process.exit(0), 50)
      }`,
    )
    const { worker } = fake
    await worker.predict([request(how)])
    const child = Number((await printed(fake, 'child')).split(' ')[1])
    assert.equal(isAlive(child), true)
    if (how === 'kill') worker.kill('was killed by the test')
    await worker.exited
    await until('the child is gone', () => !isAlive(child), 1000)
  })
}

test('the last lines of stderr are kept, the oldest go first', async (t) => {
  const fake = await loadedFake(
    t,
    `for (let line = 1; line <= 30; line += 1) console.error('line ' + line); console.error('')`,
  )
  await printed(fake, 'line 30')
  assert.deepEqual(
    fake.worker.lastErrors,
    Array.from({ length: 20 }, (_, index) => `line ${index + 11}`),
  )
})

test('a worker that floods its output is read slowly, keeps working, and costs little memory', async (t) => {
  const fake = await loadedFake(
    t,
    `
    const flood = () => { while (process.stdout.write('x'.repeat(1000) + '\\n')); process.stdout.once('drain', flood) }
    onPredict = (socket, requests) => { socket.write(answers(requests)); if (requests[0].id === 'start') flood() }`,
  )
  const before = process.memoryUsage()
  await fake.worker.predict([request('start')])
  const started = performance.now()
  let turns = 0
  while (performance.now() - started < 1500 || turns < 50) {
    assert.deepEqual(bodies(await fake.worker.predict([request('a')])), ['a'])
    turns += 1
    // The rate of the output is measured over time.
    await delay(5)
  }
  const seconds = (performance.now() - started) / 1000
  const received = fake.lines.length * 1001
  assert.ok(received > 500_000, `${received} bytes are too few`)
  assert.ok(
    received < (Math.ceil(seconds) + 1) * 1.2 * 1024 * 1024,
    `${received} bytes in ${seconds} s`,
  )
  fake.lines.length = 0
  assert.ok(process.memoryUsage().arrayBuffers - before.arrayBuffers < 4 * 1024 * 1024)
})

test('after many workers no process, file descriptor or socket of theirs is left', async (t) => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  await (await loadedFake(t)).worker.stop()
  // Descriptors of a worker are closed up to half a second after its end.
  await delay(600)
  const before = descriptors()
  const pids: number[] = []
  for (let round = 0; round < 8; round += 1) {
    const { worker } = await loadedFake(t, 'onPredict = () => {}')
    pids.push(pidOf(worker))
    const death = deathOf(worker.predict([request('a')]))
    if (round % 2 === 0) worker.kill('was killed by the test')
    else void worker.stop()
    await death
  }
  await until('all descriptors are closed', () => descriptors() <= before + 1, 2000)
  assert.deepEqual(pids.filter(isAlive), [])
})

test('the runtime directory is private, gives no socket path twice, and goes with all it holds', async () => {
  const runtime = await RuntimeDirectory.create()
  assert.equal(statSync(runtime.path).mode & 0o777, 0o700)
  const paths = Array.from({ length: 100 }, () => runtime.newWorkerFolder())
  assert.equal(new Set(paths).size, 100)
  assert.ok(
    paths.every((name) => path.dirname(name) === runtime.path && Buffer.byteLength(name) <= 96),
  )
  mkdirSync(path.join(runtime.path, 'a', 'b'), { recursive: true })
  runtime.remove()
  runtime.remove()
  assert.equal(existsSync(runtime.path), false)
})

test('a temporary folder whose path is too long for sockets is refused and nothing is left in it', async (t) => {
  const parent = mkdtempSync(path.join(tmpdir(), 'ow-'))
  t.after(() => rmSync(parent, { recursive: true, force: true }))
  const long = path.join(parent, 'x'.repeat(90))
  mkdirSync(long)
  await assert.rejects(RuntimeDirectory.create(undefined, long), /Set TMPDIR/)
  assert.deepEqual(readdirSync(long), [])
})

test('onnxd’s own worker gets the command line of MMS and a small environment', () => {
  const environment = workerEnvironment(
    {
      PATH: '/bin',
      LC_ALL: 'C',
      CUDA_VISIBLE_DEVICES: '0',
      AWS_SECRET_ACCESS_KEY: 's',
      NODE_OPTIONS: '--inspect',
      ONNXD_MANAGEMENT_TOKEN: 't',
      MINE: 'm',
    },
    ['MINE', 'ABSENT'],
  )
  assert.deepEqual(environment, { PATH: '/bin', LC_ALL: 'C', CUDA_VISIBLE_DEVICES: '0', MINE: 'm' })
  const options = {
    folder: '/tmp/o/w1',
    socketPath: '/tmp/o/w1/w.sock',
    isBuiltIn: true,
    heapMib: 512,
    allowTelemetry: false,
    hasBodyFile: false,
  }
  const spec = ownWorker(options, environment)
  assert.equal(spec.command, process.execPath)
  const entry = spec.args.findIndex((argument) => argument.includes('process'))
  assert.ok(existsSync(spec.args[entry] ?? ''))
  const socket = ['--sock-type', 'unix', '--sock-name', '/tmp/o/w1/w.sock']
  const rest = ['--preload-model', 'false', '--tmp-dir', '/tmp/o/w1']
  assert.deepEqual(spec.args.slice(entry + 1), [...socket, '--handler', 'onnx', ...rest])
  assert.equal(spec.workingDirectory, '/tmp/o/w1')
  assert.deepEqual(spec.environment, {
    ...environment,
    MALLOC_MMAP_THRESHOLD_: '4194304',
    MALLOC_TRIM_THRESHOLD_: '8388608',
    ORT_DISABLE_TELEMETRY: '1',
    ONNXD_WORKER_ONCE: '1',
    ONNXD_PARENT_PID: String(process.pid),
    ONNXD_WORKER_OPTIONS_FILE: '/tmp/o/w1/options.json',
  })
  const custom = ownWorker({ ...options, isBuiltIn: false, allowTelemetry: true }, {})
  assert.deepEqual(custom.args.slice(entry + 1), [...socket, ...rest])
  assert.equal(custom.environment.ORT_DISABLE_TELEMETRY, '0')
})
