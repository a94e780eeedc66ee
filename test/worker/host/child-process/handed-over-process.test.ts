/** A spare process that a worker gets, and what takes its place if it does not work. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { HandedOverProcess } from '../../../../src/worker/host/child-process/handed-over-process.ts'
import { Worker } from '../../../../src/worker/host/worker.ts'
import { fakeProcess, fakeSpec, request } from '../../../helpers/fake-worker.ts'
import type { FakeProcess } from '../../../helpers/fake-worker.ts'
import { isAlive, until } from '../../../helpers/server.ts'

const ACCEPTS = `onConnection = () => console.log('Connection accepted: here.')`
/** Milliseconds for the connection. A busy machine may need longer than the server allows. */
const PATIENT_MS = 20_000
const HASTY_MS = 200

interface HandOver extends FakeProcess {
  readonly process: HandedOverProcess
  readonly sparePid: number | undefined
  /** Processes that were started in place of the spare one. */
  readonly instead: () => number
}

/** Waits until a spare process with this behaviour listens, and gives it to a worker. */
async function handOver(t: TestContext, behaviour: string, acceptMs: number): Promise<HandOver> {
  const spare = fakeProcess(t, behaviour)
  const ready = new Promise<void>((resolve) => (spare.onLine = () => resolve()))
  await Promise.all([ready, spare.isListening])
  let instead = 0
  const process = new HandedOverProcess(
    spare,
    () => {
      instead += 1
      return fakeProcess(t, `${ACCEPTS}; console.error('in its place')`)
    },
    acceptMs,
  )
  const lines: FakeProcess['lines'] = []
  const worker = new Worker({ ...fakeSpec(lines), process })
  return { worker, lines, process, sparePid: spare.pid, instead: () => instead }
}

test('a spare process that accepts is kept, and its output goes to the worker', async (t) => {
  const { worker, process, sparePid, lines, instead } = await handOver(
    t,
    `${ACCEPTS}; onPredict = (socket, requests) => { console.log('predicts'); socket.write(answers(requests)) }`,
    PATIENT_MS,
  )
  await worker.ready
  assert.deepEqual([worker.pid, await process.isSpareKept, instead()], [sparePid, true, 0])
  const reply = await worker.predict([request('a')])
  assert.equal(reply.predictions[0]?.body.toString(), 'a')
  await until(() => lines.some(({ line }) => line === 'predicts'))
  await worker.stop()
  assert.deepEqual(await worker.exited, { code: 0, signal: null, text: 'exited with code 0' })
})

const BROKEN = {
  'hangs before it accepts': [
    `onReady = () => { console.log('fake worker ready'); for (;;); }`,
    HASTY_MS,
  ],
  'ends when it is connected': [`onConnection = () => process.exit(7)`, PATIENT_MS],
  'is killed': [`onConnection = () => process.kill(process.pid, 'SIGKILL')`, PATIENT_MS],
} as const
for (const [what, [behaviour, acceptMs]] of Object.entries(BROKEN)) {
  test(`a spare process that ${what} is killed and replaced, and the worker serves`, async (t) => {
    const { worker, process, sparePid, lines, instead } = await handOver(t, behaviour, acceptMs)
    assert.equal(worker.pid, sparePid)
    await worker.ready
    assert.equal(await process.isSpareKept, false)
    assert.equal(instead(), 1)
    assert.notEqual(worker.pid, sparePid)
    assert.deepEqual(worker.lastErrors, ['in its place'])
    const reply = await worker.predict([request('a')])
    assert.equal(reply.predictions[0]?.body.toString(), 'a')
    await until(() => !isAlive(sparePid ?? 0))
    assert.ok(lines.some(({ line }) => line === 'in its place'))
    worker.kill('was killed by the test')
    const { signal } = await worker.exited
    assert.equal(signal, 'SIGKILL')
  })
}

for (const end of ['stop', 'kill'] as const) {
  test(`a worker that gets ${end}() during the hand-over starts no other process`, async (t) => {
    const hangs = `onReady = () => { console.log('fake worker ready'); for (;;); }`
    const { worker, sparePid, instead } = await handOver(t, hangs, PATIENT_MS)
    if (end === 'kill') worker.kill('was killed by the test')
    else await worker.stop()
    await worker.exited
    await assert.rejects(worker.ready)
    assert.deepEqual([instead(), isAlive(sparePid ?? 0), worker.state], [0, false, 'stopped'])
  })
}
