/** Whose turn it is: priority levels, and deadlines that jobs bring with them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { JobQueue } from '../../../src/models/scheduling/queue/job-queue.ts'
import { Job } from '../../../src/models/scheduling/queue/job.ts'
import { TestPool, nameOf, outcome, outcomes } from '../../helpers/test-pool.ts'

const EXPIRED = '503 ServiceUnavailableException'

test('the next job is the oldest of the highest level that has one, and a batch goes on with lower levels', async (t) => {
  const it = await TestPool.of(t, 1, { priorityLevels: 3, batchSize: 2 })
  it.submit('running')
  it.submit('low 1', { level: 3 })
  it.submit('low 2', { level: 3 })
  it.submit('high 1', { level: 1 })
  it.submit('middle', { level: 2 })
  it.submit('high 2', { level: 1 })
  for (let left = 3; left > 0; left -= 1) {
    it.worker(0).answer()
    await turn()
  }
  assert.deepEqual(it.worker(0).seen, [
    ['running'],
    ['high 1', 'high 2'],
    ['middle', 'low 1'],
    ['low 2'],
  ])
})

test('a job of a low level that never gets its turn is refused in time all the same', async (t) => {
  const it = await TestPool.of(t, 1, { priorityLevels: 2, queueTimeoutMs: 100 })
  it.submit('running')
  const low = it.submit('low', { level: 2 })
  for (let step = 0; step < 9; step += 1) {
    it.submit(`high ${step}`)
    await it.pass(10)
    it.worker(0).answer()
    await turn()
  }
  it.submit('high again')
  await it.pass(9)
  assert.equal(await outcome(low), 'waiting')
  await it.pass(1)
  assert.equal(await outcome(low), EXPIRED)
  assert.equal(it.pool.queued, 1, 'the one that came late waits on')
})

test('jobs that come back from a dead worker keep their turn, each in its own level', () => {
  const queue = new JobQueue({ maxJobs: 10, maxBytes: 10, levels: 2, maxWaitMs: 1000 })
  const jobs = [1, 2, 1, 2, 1, 2].map((level) => queue.offer(new Job([], [], { level })))
  const [a, A, b, B, c, C] = jobs
  assert.ok(a && A && b && B && c && C)
  assert.deepEqual(queue.take(4), [a, b, c, A])
  queue.putBack([b, A])
  queue.putBack([a, c])
  assert.equal(queue.length, 6)
  assert.deepEqual(queue.take(9), [a, b, c, A, B, C])
  assert.deepEqual([queue.length, queue.batchable, queue.expiresAt], [0, 0, Infinity])
})

test('a job is refused at its own deadline, wherever it stands, and never later than at that of the server', async (t) => {
  const it = await TestPool.of(t, 1, { queueTimeoutMs: 100 })
  const [running, patient] = it.submitAll('running', 'patient')
  assert.ok(running && patient)
  const hurried = [30, 20, 10, 20, 500].map((timeoutMs) =>
    it.submit(`in ${timeoutMs}`, { timeoutMs }),
  )
  const states = async (): Promise<boolean[]> =>
    (await outcomes(hurried)).map((text) => text === EXPIRED)
  await it.pass(9)
  assert.deepEqual(await states(), [false, false, false, false, false])
  await it.pass(1)
  assert.deepEqual(await states(), [false, false, true, false, false])
  await it.pass(10)
  assert.deepEqual(await states(), [false, true, true, true, false])
  await it.pass(10)
  assert.deepEqual(await states(), [true, true, true, true, false])
  await assert.rejects((hurried[0] ?? assert.fail()).result, /before the request's deadline/)
  await it.pass(69)
  assert.equal(await outcome(patient), 'waiting')
  await it.pass(1)
  assert.deepEqual(await outcomes([patient, ...hurried.slice(4)]), [EXPIRED, EXPIRED])
  for (const { result } of [patient, hurried[4] ?? assert.fail()])
    await assert.rejects(result, /within 0\.1 s \(queueTimeout\)\. Try again/)
  assert.equal(it.pool.metrics.rejections.expired, 6)
  assert.deepEqual([it.pool.queued, await outcome(running)], [0, 'waiting'])
})

test('a job that a worker has in time is answered however long it takes, and cancelled ones are forgotten', async (t) => {
  const it = await TestPool.of(t, 1)
  const first = it.submit('first', { timeoutMs: 10 })
  const second = it.submit('second', { timeoutMs: 10 })
  const third = it.submit('third', { timeoutMs: 20 })
  await it.pass(5)
  it.cancel(second)
  await it.pass(10)
  it.worker(0).answer()
  await turn()
  await it.pass(50)
  it.worker(0).answer()
  await turn()
  assert.deepEqual(await outcomes([first, second, third]), [
    'first',
    '499 ClientClosedRequestException',
    'third',
  ])
})

test('a job that a dead worker gives back has the deadline that it had', async (t) => {
  const it = new TestPool(t, { queueTimeoutMs: 100 })
  it.onStart = (worker) => {
    worker.keepInFlight(2)
    if (it.workers.length === 1) worker.load()
  }
  await it.pool.scale(1)
  const patient = it.submit('patient')
  const hurried = it.submit('hurried', { timeoutMs: 30 })
  const behind = it.submit('behind')
  await it.pass(20)
  it.worker(0).die()
  await it.pass(9)
  assert.deepEqual(await outcomes([hurried, patient]), ['waiting', 'waiting'])
  await it.pass(1)
  assert.deepEqual(await outcomes([hurried, patient]), [EXPIRED, 'waiting'])
  await it.pass(69)
  assert.equal(await outcome(behind), 'waiting')
  await it.pass(1)
  assert.deepEqual(
    await outcomes([behind, patient]),
    [EXPIRED, 'waiting'],
    'it waited while the other was at work, and is refused although it stands behind',
  )
})

test('a batch that fills leaves in time for the job that is in the greatest hurry', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 4, maxBatchDelayMs: 1000, priorityLevels: 2 })
  it.submit('a')
  await it.pass(10)
  const hurried = it.submit('b', { level: 2, timeoutMs: 40 })
  await it.pass(19)
  assert.deepEqual(it.worker(0).seen, [])
  await it.pass(1)
  assert.deepEqual(it.worker(0).seen, [['a', 'b']])
  it.worker(0).answer()
  await turn()
  assert.equal(await outcome(hurried), 'b')
})

test('a batch delay counts from the job that waits longest, of whatever level', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 4, maxBatchDelayMs: 50, priorityLevels: 2 })
  it.submit('low', { level: 2 })
  for (let step = 0; step < 2; step += 1) {
    await it.pass(20)
    it.submit(`high ${step}`)
  }
  await it.pass(9)
  assert.deepEqual(it.worker(0).seen, [])
  await it.pass(1)
  assert.deepEqual(it.worker(0).seen, [['high 0', 'high 1', 'low']])
})

test('nothing that was taken stays linked', () => {
  const queue = new JobQueue({ maxJobs: 10, maxBytes: 10, levels: 2, maxWaitMs: 1000 })
  const jobs = [5, undefined, 3, undefined, 4].map((deadline, index) =>
    queue.offer(new Job([['name', String(index)]], [], { deadline, level: 1 + (index % 2) })),
  )
  const order: string[] = []
  for (let late = queue.takeExpired(Infinity); late; late = queue.takeExpired(Infinity))
    order.push(nameOf(late.job.request))
  assert.deepEqual(order, ['2', '4', '0', '1', '3'])
  for (const queued of jobs) {
    assert.ok(queued)
    for (const { previous, next } of [queued.laneNode, queued.deadlineNode])
      assert.deepEqual([previous, next], [undefined, undefined])
    assert.equal(queued.isWaiting, false)
  }
  assert.deepEqual([queue.length, queue.bytes, queue.waitingSince], [0, 0, Infinity])
})
