/** How many spare workers there are, and when they are started. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { SpareWorkers } from '../../../src/models/workers/spare-workers.ts'
import type { SpareOptions } from '../../../src/models/workers/spare-workers.ts'
import { isStopped } from '../../../src/worker/host/child-process/stopped-process.ts'
import { StartedProcess } from '../../../src/worker/host/child-process/worker-process.ts'
import { isAlive, until } from '../../helpers/server.ts'
import type { LogLine } from '../../helpers/server.ts'

const GIB = 1024 ** 3
const WAITS = 'echo ready; exec sleep 600'

interface Subject {
  readonly spares: SpareWorkers
  /** Every process that was started. */
  readonly started: StartedProcess[]
  readonly log: LogLine[]
  /** Options of models by the index of the process that got them. */
  readonly options: Map<number, string>
}

/** Spare workers that run a shell script. They end after the test. */
function newSubject(
  t: TestContext,
  wanted: SpareOptions['wanted'],
  { script = WAITS, availableBytes = (): number => GIB } = {},
): Subject {
  const started: StartedProcess[] = []
  const log: LogLine[] = []
  const options: Subject['options'] = new Map()
  const spares = new SpareWorkers({
    wanted,
    start: () => {
      const index = started.length
      const process = new StartedProcess({
        child: { command: '/bin/sh', args: ['-c', script], workingDirectory: '/', environment: {} },
        folder: '/nowhere',
        address: { path: '/nowhere/w.sock' },
        readyLine: 'ready',
      })
      started.push(process)
      return { process, giveOptions: (text) => options.set(index, text) }
    },
    availableBytes: () => Promise.resolve(availableBytes()),
    log: pino({ level: 'debug' }, { write: (line) => log.push(JSON.parse(line) as LogLine) }),
  })
  t.after(async () => {
    await spares.close()
    for (const process of started) process.kill()
  })
  return { spares, started, log, options }
}

function areReady({ spares }: Subject, count: number): Promise<unknown> {
  return until(() => spares.counts.ready === count && spares.counts.starting === 0)
}

test('the wanted number is started, and each is taken once, with the options of its model', async (t) => {
  const subject = newSubject(t, 2)
  const { spares, started, options } = subject
  assert.equal(spares.take('early'), undefined)
  spares.refill()
  spares.refill()
  await areReady(subject, 2)
  assert.equal(started.length, 2)
  assert.deepEqual([spares.take('a'), spares.take('b'), spares.take('c')], [...started, undefined])
  assert.deepEqual(
    [...options],
    [
      [0, 'a'],
      [1, 'b'],
    ],
  )
  await spares.close()
  assert.deepEqual(
    started.map(({ pid = 0 }) => isAlive(pid)),
    [true, true],
    'they have a model',
  )
})

test('a taken process is replaced when no worker loads a model any more', async (t) => {
  const subject = newSubject(t, 1)
  const { spares, started } = subject
  spares.refill()
  await areReady(subject, 1)
  const loads = [0, 1].map(() => {
    let end = (): void => {}
    spares.noteLoad(new Promise((resolve) => (end = resolve)))
    return () => end()
  })
  assert.equal(spares.take(''), started[0])
  spares.refill()
  loads[0]?.()
  await new Promise(setImmediate)
  assert.equal(started.length, 1)
  loads[1]?.()
  await areReady(subject, 1)
  assert.equal(started.length, 2)
})

test('auto begins with the first loaded model, and only with enough memory', async (t) => {
  let bytes = GIB - 1
  const subject = newSubject(t, 'auto', { availableBytes: () => bytes })
  const { spares, started } = subject
  const load = async (ready: Promise<void>): Promise<void> => {
    spares.noteLoad(ready)
    await ready.catch(() => {})
    await new Promise(setImmediate)
  }
  spares.refill()
  await load(Promise.resolve())
  assert.equal(started.length, 0, 'too little memory')
  bytes = GIB
  await load(Promise.reject(new Error('does not load')))
  assert.equal(started.length, 1)
  await areReady(subject, 1)

  const other = newSubject(t, 'auto')
  other.spares.refill()
  other.spares.noteLoad(Promise.reject(new Error('does not load')))
  await new Promise(setImmediate)
  assert.equal(other.started.length, 0, 'no model was loaded')
})

test('0 starts none', async (t) => {
  const { spares, started } = newSubject(t, 0)
  spares.refill()
  spares.noteLoad(Promise.resolve())
  await new Promise(setImmediate)
  assert.equal(started.length, 0)
})

test('a process that dies at its start is started again less and less often', async (t) => {
  const { spares, started, log } = newSubject(t, 1, { script: 'echo broken >&2; exit 3' })
  spares.refill()
  const deaths = (): LogLine[] => log.filter(({ msg }) => msg === 'spare worker died')
  await until(() => deaths().length === 5)
  assert.deepEqual(
    deaths().map(({ cause, stderr, restartInMs }) => [cause, stderr, restartInMs]),
    [50, 100, 200, 400, 800].map((ms) => ['exited with code 3', ['broken'], ms]),
  )
  assert.equal(started.length, 5)
  await spares.close()
})

test('a process that was killed or stopped is not given to a model', async (t) => {
  const subject = newSubject(t, 2)
  const { spares, started, log } = subject
  spares.refill()
  await areReady(subject, 2)
  const [first, second] = started
  process.kill(first?.pid ?? 0, 'SIGSTOP')
  await until(() => isStopped(first?.pid))
  assert.equal(spares.take('a'), second)
  assert.equal((await first?.exited)?.signal, 'SIGKILL', 'the stopped one is ended')
  assert.equal(log.filter(({ msg }) => msg === 'a spare worker cannot be used').length, 1)
  spares.refill()
  await areReady(subject, 2)
  started[2]?.kill()
  await until(() => started.length === 5)
  await areReady(subject, 2)
  assert.deepEqual([spares.take('b'), spares.take('c')], [started[3], started[4]])
})

test('when memory is short all are ended, for a minute', async (t) => {
  const subject = newSubject(t, 2)
  const { spares, started } = subject
  assert.equal(await spares.giveUp(), false)
  spares.refill()
  await areReady(subject, 2)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  assert.equal(await spares.giveUp(), true)
  assert.deepEqual([spares.counts, spares.take('')], [{ starting: 0, ready: 0 }, undefined])
  assert.deepEqual(
    started.map(({ pid = 0 }) => isAlive(pid)),
    [false, false],
  )
  spares.noteLoad(Promise.resolve())
  t.mock.timers.tick(59_999)
  await new Promise(setImmediate)
  assert.equal(started.length, 2)
  t.mock.timers.tick(1)
  t.mock.timers.reset()
  await areReady(subject, 2)
  assert.equal(started.length, 4)
})

test('after close() no process is left, and none is started', async (t) => {
  const subject = newSubject(t, 3)
  const { spares, started } = subject
  spares.refill()
  await until(() => started.length === 3)
  const startedAt = performance.now()
  await Promise.all([spares.close(), spares.close()])
  assert.ok(performance.now() - startedAt < 1000)
  assert.deepEqual(
    started.map(({ pid = 0 }) => isAlive(pid)),
    [false, false, false],
  )
  spares.noteLoad(Promise.resolve())
  spares.refill()
  await new Promise(setImmediate)
  assert.equal(started.length, 3)
})
