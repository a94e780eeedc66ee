/** Queue, batches, failures and supervision, with fake workers that the test controls. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ServerError } from '../../../src/errors.ts'
import { JobQueue } from '../../../src/models/scheduling/queue/job-queue.ts'
import { Job } from '../../../src/models/scheduling/queue/job.ts'
import { RestartPolicy } from '../../../src/models/scheduling/slots/backoff.ts'
import {
  TestClock,
  TestPool,
  answerOf,
  nameOf,
  outcome,
  outcomes,
} from '../../helpers/test-pool.ts'
import type { FakeWorker } from '../../helpers/test-pool.ts'

test('a batch forms when a worker asks, from what waits then, and each job gets its own response', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 3 })
  const jobs = it.submitAll('a', 'b', 'c', 'd', 'e')
  assert.deepEqual(it.worker(0).seen, [['a']], 'the first job waits for nobody')
  it.worker(0).answer()
  await turn()
  it.worker(0).answer()
  await turn()
  it.worker(0).answer()
  assert.deepEqual(it.worker(0).seen, [['a'], ['b', 'c', 'd'], ['e']])
  assert.deepEqual(await Promise.all(jobs.map(answerOf)), ['a', 'b', 'c', 'd', 'e'])
})

test('a batch delay is waited from the arrival of the oldest job, and not once the batch is full', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 2, maxBatchDelayMs: 50 })
  const { seen } = it.worker(0)
  it.submit('lonely')
  await it.pass(49)
  assert.deepEqual(seen, [])
  await it.pass(1)
  assert.deepEqual(seen, [['lonely']])

  it.submit('a')
  await it.pass(30)
  it.worker(0).answer()
  await it.pass(19)
  assert.equal(seen.length, 1, 'of the 50 ms, 49 are over')
  await it.pass(1)
  assert.deepEqual(seen[1], ['a'])

  it.submit('b')
  await it.pass(60)
  it.worker(0).answer()
  await turn()
  assert.deepEqual(seen[2], ['b'], 'it has waited long enough while the worker was busy')

  it.worker(0).answer()
  it.submitAll('c', 'd')
  await turn()
  assert.deepEqual(seen[3], ['c', 'd'], 'a full batch waits for nobody')
})

test('a batch delay beyond the time a job may wait does not cost the job', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 2, maxBatchDelayMs: 5000, queueTimeoutMs: 100 })
  it.submit('a')
  await it.pass(60)
  assert.deepEqual(it.worker(0).seen, [['a']])
})

test('work goes to an idle worker first, then into sockets as deep as each worker wants, then waits', async (t) => {
  const it = new TestPool(t)
  it.onStart = (worker) => {
    worker.keepInFlight(2)
    if (it.workers.length < 3) worker.load()
  }
  void it.pool.scale(3)
  await turn()
  it.submitAll('a', 'b', 'c', 'd', 'e')
  const [first, second, loading] = it.workers
  assert.deepEqual(
    [first?.seen, second?.seen],
    [
      [['a'], ['c']],
      [['b'], ['d']],
    ],
  )
  assert.deepEqual([loading?.seen, it.pool.queued, it.pool.status.readyWorkers], [[], 1, 2])
  loading?.load()
  await turn()
  assert.deepEqual(loading?.seen, [['e']])
})

test('where runs are quick, one worker is filled before another is woken', async (t) => {
  const it = new TestPool(t)
  it.onStart = (worker) => {
    worker.runQuickly(3)
    worker.load()
  }
  await it.pool.scale(2)
  it.submitAll('a', 'b', 'c', 'd')
  assert.deepEqual(
    it.workers.map(({ seen }) => seen.flat()),
    [['a', 'b', 'c'], ['d']],
  )
  it.worker(0).answer()
  await turn()
  it.submitAll('e', 'f')
  assert.deepEqual(
    it.workers.map(({ seen }) => seen.flat()),
    [
      ['a', 'b', 'c', 'e'],
      ['d', 'f'],
    ],
  )
})

test('who is refused by a full queue is told the status of the settings and when the queue will be empty', async (t) => {
  const it = await TestPool.of(t, 1, {
    queue: { maxJobs: 10, maxBytes: 1000 },
    overloadStatus: 429,
  })
  it.submitAll(...'abcdefghijk')
  const refused = (retryAfterSeconds: number): object => ({
    type: 'ServiceUnavailableException',
    statusCode: 429,
    retryAfterSeconds,
  })
  assert.throws(() => it.submit('no run was measured yet'), refused(1))
  for (const next of 'lmn') {
    await it.pass(700)
    it.worker(0).answer()
    await turn()
    it.submit(next)
  }
  // Ten wait, and one is done every 700 ms.
  assert.throws(() => it.submit('x'), refused(7))
  void it.pool.scale(0)
  assert.throws(
    () => it.submit('x'),
    { statusCode: 503, retryAfterSeconds: 1 },
    'no worker is no overload',
  )
})

test('a full queue, by jobs or by bytes, refuses with a time to come back; one large job fits into an empty one', async (t) => {
  const it = await TestPool.of(t, 1, { queue: { maxJobs: 3, maxBytes: 10 } })
  it.submit('running', { bytes: 1000 })
  it.submit('large', { bytes: 1000 })
  const isFull = { type: 'ServiceUnavailableException', statusCode: 503, retryAfterSeconds: 1 }
  assert.throws(() => it.submit('one more byte'), isFull)
  it.worker(0).answer()
  await turn()
  it.submit('a', { bytes: 4 })
  it.submit('b', { bytes: 6 })
  assert.throws(() => it.submit('c', { bytes: 1 }), isFull)
  it.submit('no bytes', { bytes: 0 })
  assert.equal(it.pool.status.remainingCapacity, 0)
  assert.throws(() => it.submit('no bytes', { bytes: 0 }), isFull)
  assert.equal(it.pool.queued, 3)
})

test('a job that is cancelled while it waits never reaches a worker, and its place and bytes are free at once', async (t) => {
  const it = await TestPool.of(t, 1, { queue: { maxJobs: 3, maxBytes: 10 }, batchSize: 8 })
  const [running, a] = it.submitAll('running', 'a')
  const b = it.submit('b', { bytes: 9 })
  assert.ok(running && a)
  assert.throws(() => it.submit('c', { bytes: 9 }))
  it.cancel(b)
  it.cancel(b)
  assert.equal(await outcome(b), '499 ClientClosedRequestException')
  it.submit('c', { bytes: 9 })
  it.cancel(a)
  assert.equal(it.pool.queued, 1)
  it.worker(0).answer()
  await turn()
  assert.deepEqual(it.worker(0).seen, [['running'], ['c']])
  it.cancel(running)
  assert.equal(await outcome(running), 'running', 'what is answered stays answered')
})

test('a job that is cancelled while it runs is finished for its batch, and its own response is discarded', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 2, maxBatchDelayMs: 1 })
  const [a, b] = it.submitAll('a', 'b')
  assert.ok(a && b)
  it.cancel(a)
  assert.equal(await outcome(a), '499 ClientClosedRequestException')
  it.worker(0).answer()
  await turn()
  assert.deepEqual(await outcomes([a, b]), ['499 ClientClosedRequestException', 'b'])
  const [c, d] = it.submitAll('c', 'd')
  assert.ok(c && d)
  it.cancel(c)
  it.worker(0).die()
  await it.pass(2)
  assert.deepEqual(it.worker(1).seen, [['d']], 'nobody waits for c any more')
})

test('a job may wait its time for a worker, not counting the time it was at one that died', async (t) => {
  const it = await TestPool.of(t, 1, { queueTimeoutMs: 1000 })
  const running = it.submit('running')
  await it.leap(500)
  const waiting = it.submit('waiting')
  await it.leap(900)
  assert.deepEqual(await outcomes([running, waiting]), ['waiting', 'waiting'])
  await it.leap(101)
  assert.deepEqual(await outcomes([running, waiting]), [
    'waiting',
    '503 ServiceUnavailableException',
  ])
  it.worker(0).die()
  await it.pass(2)
  assert.deepEqual(it.worker(1).seen, [['running']])
})

test('jobs of a worker that dies are repeated once, alone; the one that kills a second worker is refused', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 4, maxBatchDelayMs: 1 })
  const jobs = it.submitAll('a', 'b', 'poison', 'd', 'later')
  assert.deepEqual(it.worker(0).seen, [['a', 'b', 'poison', 'd']])
  it.worker(0).die('was killed by SIGSEGV')
  await it.pass(2)
  for (const name of ['a', 'b']) {
    assert.deepEqual(
      it.worker(1).batches.map((batch) => batch.names),
      [[name]],
    )
    it.worker(1).answer()
    await turn()
  }
  it.worker(1).die('was killed by SIGSEGV')
  await it.pass(2)
  assert.equal(await outcome(jobs[2] ?? assert.fail()), '500 InternalServerException')
  await assert.rejects((jobs[2] ?? assert.fail()).result, /Worker died: it was killed by SIGSEGV/)
  it.worker(2).answer()
  await it.pass(2)
  it.worker(2).answer()
  await turn()
  assert.deepEqual(await outcomes(jobs), ['a', 'b', '500 InternalServerException', 'd', 'later'])
  assert.deepEqual(
    it.workers.flatMap(({ seen }) => seen).filter((names) => names.includes('poison')).length,
    2,
  )
})

test('E13: a body that crashed two workers is rejected with 422 until the time is over; others are not', async (t) => {
  const it = await TestPool.of(t, 1, { crashQuarantineMs: 10_000 })
  const poison = it.submit('poison')
  it.worker(0).die('was killed by SIGFPE')
  await it.pass(2)
  it.worker(1).die('was killed by SIGFPE')
  await it.pass(60)
  assert.equal(await outcome(poison), '500 InternalServerException')
  assert.throws(() => it.submit('poison'), {
    statusCode: 422,
    type: 'CrashingRequestException',
    retryAfterSeconds: 10,
  })
  assert.deepEqual([it.pool.metrics.rejections.crashing, it.workers.length], [1, 3])
  const innocent = it.submit('innocent')
  it.worker(2).answer()
  await turn()
  assert.equal(await outcome(innocent), 'innocent')
  await it.leap(10_000)
  const again = it.submit('poison')
  assert.deepEqual(it.worker(2).batches[0]?.names, ['poison'], 'the time is over')
  it.worker(2).answer()
  await turn()
  assert.equal(await outcome(again), 'poison')
})

test('E13: what was in a batch with the cause of a crash is not rejected later', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 4, maxBatchDelayMs: 1, isRetryable: false })
  for (const round of [0, 1]) {
    const jobs = it.submitAll('innocent', 'poison', `b${round}`, `c${round}`)
    it.worker(-1).die('exited with code 7')
    await it.pass(60)
    assert.deepEqual(await outcomes(jobs), Array(4).fill('500 InternalServerException'))
    if (round === 1) break
    const alone = it.submit('innocent')
    await it.pass(2)
    it.worker(-1).answer()
    await turn()
    assert.equal(await outcome(alone), 'innocent')
  }
  assert.throws(() => it.submit('poison'), { statusCode: 422 })
  const innocent = it.submit('innocent')
  await it.pass(2)
  it.worker(-1).answer()
  await turn()
  assert.equal(await outcome(innocent), 'innocent')
})

test('E13: workers that are killed from outside or too slow are held against no body', async (t) => {
  const clock = new TestClock(t)
  for (const how of ['was killed by SIGKILL', 'did not respond within 1 s']) {
    const it = await TestPool.of(t, 1, { isRetryable: false }, clock)
    for (let round = 0; round < 3; round += 1) {
      const job = it.submit('slow')
      it.worker(-1).die(how)
      await it.pass(200)
      assert.equal(await outcome(job), '500 InternalServerException')
    }
    it.submit('slow')
  }
})

test('E13: requests that crash workers do not close the model, failed loads do', async (t) => {
  const it = await TestPool.of(t, 1, { isRetryable: false })
  for (let round = 0; round < 12; round += 1) {
    it.submit(`poison ${round}`)
    it.worker(-1).die('was killed by SIGSEGV')
    await turn()
    await it.leap(10_001)
    assert.equal(it.pool.status.hasFailed, false)
  }
  const job = it.submit('innocent')
  it.worker(-1).answer()
  await turn()
  assert.equal(await outcome(job), 'innocent')
  it.onStart = (worker) => worker.die('exited with code 1')
  it.worker(-1).die('exited with code 1')
  await it.pass(1000)
  assert.equal(it.pool.status.hasFailed, true)
})

test('without leave to repeat, the batch at a dead worker gets 500 and what waits is served', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 2, maxBatchDelayMs: 1, isRetryable: false })
  const jobs = it.submitAll('a', 'b', 'waiting')
  it.worker(0).die('exited with code 7')
  await it.pass(2)
  it.worker(1).answer()
  await turn()
  const died = '500 InternalServerException'
  assert.deepEqual(await outcomes(jobs), [died, died, 'waiting'])
})

test('batches that had not started at a dead worker keep their turn and are innocent, however often it happens', async (t) => {
  const it = new TestPool(t, { isRetryable: false })
  it.onStart = (worker) => {
    worker.keepInFlight(4)
    worker.load()
  }
  await it.pool.scale(1)
  const jobs = it.submitAll('a', 'b', 'c', 'd', 'e', 'f')
  it.worker(0).die()
  await it.pass(2)
  assert.deepEqual(it.worker(1).seen.flat(), ['b', 'c', 'd', 'e'])
  it.worker(1).die()
  await it.pass(60)
  assert.deepEqual(it.worker(2).seen.flat(), ['c', 'd', 'e', 'f'])
  for (let left = 4; left > 0; left -= 1) it.worker(2).answer()
  await turn()
  const died = '500 InternalServerException'
  assert.deepEqual(await outcomes(jobs), [died, died, 'c', 'd', 'e', 'f'])
})

test('a job that never started at a dead worker may still be repeated once when it did', async (t) => {
  const it = new TestPool(t)
  it.onStart = (worker) => {
    worker.keepInFlight(2)
    worker.load()
  }
  await it.pool.scale(1)
  const jobs = it.submitAll('a', 'b')
  for (const worker of [0, 1]) {
    it.worker(worker).die()
    await it.pass(60)
  }
  assert.deepEqual(it.worker(2).seen.flat(), ['b'])
  it.worker(2).die()
  await it.pass(150)
  it.worker(3).answer()
  await turn()
  assert.deepEqual(await outcomes(jobs), ['500 InternalServerException', 'b'])
})

test('a job whose worker died is never in a batch with others, wherever it stands', () => {
  const queue = new JobQueue({ maxJobs: 10, maxBytes: 10, levels: 1, maxWaitMs: 1000 })
  const [a, b, c, d, e] = Array.from({ length: 5 }, () => queue.offer(new Job([], [])))
  assert.ok(a && b && c && d && e)
  assert.deepEqual(queue.take(3), [a, b, c])
  b.deaths = 1
  queue.putBack([b])
  queue.putBack([a, c])
  assert.deepEqual([queue.length, queue.batchable], [5, 4])
  assert.deepEqual([queue.take(9), queue.takeSuspect()], [[a, c, d, e], [b]])
  assert.deepEqual([queue.take(9), queue.takeSuspect(), queue.length], [[], [], 0])
})

test('suspects keep their order of acceptance, also among levels', () => {
  const queue = new JobQueue({ maxJobs: 10, maxBytes: 10, levels: 2, maxWaitMs: 1000 })
  const levels = [2, 1, 2, 1]
  for (const level of levels) queue.offer(new Job([], [], { level }))
  const batch = queue.take(4)
  for (const queued of batch) queued.deaths = 1
  queue.putBack(batch)
  assert.deepEqual([queue.length, queue.batchable, queue.take(4)], [4, 0, []])
  const orders = levels.flatMap(() => queue.takeSuspect()).map(({ order }) => order)
  assert.deepEqual(orders, [1, 2, 3, 4])
})

test('a suspect waits until another worker can serve the others', async (t) => {
  const it = await TestPool.of(t, 2)
  const [suspect] = it.submitAll('suspect', 'b')
  assert.ok(suspect)
  it.worker(0).die()
  await turn()
  const second = it.submit('c')
  it.worker(1).answer()
  await turn()
  assert.deepEqual(it.worker(1).seen.flat(), ['b', 'c'], 'the suspect is passed over')
  await it.pass(2)
  assert.deepEqual(it.worker(2).seen.flat(), ['suspect'], 'the new worker takes it')
  it.worker(2).die()
  it.worker(1).answer()
  await turn()
  assert.deepEqual(await outcomes([suspect, second]), ['500 InternalServerException', 'c'])
})

test('a suspect waits for another worker at most for half of its time', async (t) => {
  const it = await TestPool.of(t, 2, { queueTimeoutMs: 100 })
  const [suspect] = it.submitAll('suspect', 'b')
  assert.ok(suspect)
  it.onStart = () => {}
  it.worker(0).die()
  await turn()
  it.worker(1).answer()
  await it.pass(49)
  assert.equal(await outcome(suspect), 'waiting')
  assert.deepEqual(it.worker(1).seen.flat(), ['b'])
  await it.pass(2)
  assert.deepEqual(it.worker(1).seen.flat(), ['b', 'suspect'])
  it.worker(1).answer()
  await turn()
  assert.equal(await outcome(suspect), 'suspect')
})

test('a job that took too long is told so and not repeated; what waited behind it in the socket runs elsewhere', async (t) => {
  const it = new TestPool(t)
  it.onStart = (worker) => {
    worker.keepInFlight(2)
    worker.load()
  }
  await it.pool.scale(1)
  const jobs = it.submitAll('slow', 'behind')
  it.worker(0).die('did not respond', new ServerError('ResponseTimeoutException', 'too slow'))
  await it.pass(2)
  it.worker(1).answer()
  await turn()
  assert.deepEqual(await outcomes(jobs), ['504 ResponseTimeoutException', 'behind'])
  assert.deepEqual(it.worker(1).seen, [['behind']])
})

test('an overall error code fails every job of the batch', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 3, maxBatchDelayMs: 1 })
  for (const [code, expected] of [
    [503, '503'],
    [507, '507'],
    [400, '400'],
    [0, '500'],
    [302, '500'],
    [-1, '500'],
  ] as const) {
    const jobs = it.submitAll('a', 'b', 'c')
    it.worker(0).answer({ code, message: 'Prediction failed', predictions: [] })
    await turn()
    assert.deepEqual(
      await outcomes(jobs),
      Array.from({ length: 3 }, () => `${expected} InternalServerException`),
    )
    await assert.rejects((jobs[2] ?? assert.fail()).result, { message: 'Prediction failed' })
  }
  assert.equal(it.workers.length, 1)
})

test('closing finishes what was accepted, without waiting for batches to fill, and accepts no more', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 2, maxBatchDelayMs: 10_000 })
  const jobs = it.submitAll('a', 'b', 'c')
  const closed = it.pool.close(30_000)
  assert.equal(it.pool.close(0), closed)
  assert.throws(() => it.submit('late'), { statusCode: 503 })
  await assert.rejects(it.pool.scale(2), { statusCode: 503 })
  it.worker(0).answer()
  await turn()
  assert.equal(it.worker(0).state, 'ready')
  it.worker(0).answer()
  await closed
  assert.deepEqual(await outcomes(jobs), ['a', 'b', 'c'])
  assert.deepEqual([it.worker(0).state, it.worker(0).kills], ['stopped', []])
})

test('closing is over at once when the last job that waits is cancelled', async (t) => {
  const it = new TestPool(t)
  it.onStart = () => {}
  const scaled = it.pool.scale(1)
  const job = it.submit('a')
  const closed = it.pool.close(30_000)
  it.cancel(job)
  await closed
  await assert.rejects(scaled)
})

test('when the drain is over, workers are ended and every job is settled, also those their workers give back', async (t) => {
  const it = await TestPool.of(t, 2, { batchSize: 2, maxBatchDelayMs: 1 })
  const jobs = it.submitAll('a', 'b', 'c', 'd', 'e')
  const closed = it.pool.close(100)
  it.worker(0).die()
  await it.pass(2)
  assert.deepEqual(it.worker(2).seen, [['a']], 'a dead worker is replaced while the pool drains')
  await it.pass(100)
  await closed
  assert.ok(jobs.every((job) => job.isSettled))
  const refused = Array.from({ length: 4 }, () => '503 ServiceUnavailableException')
  assert.deepEqual(await outcomes(jobs), ['500 InternalServerException', ...refused])
  assert.throws(() => it.submit('f'), {
    message: 'No worker is available to serve request for model: m. The model is being unloaded.',
  })
  assert.ok(it.workers.every((worker) => worker.state === 'stopped'))
  await it.leap(1000)
  assert.equal(it.workers.length, 3, 'nothing is started any more')
})

test('restart delays are short at first, grow, and five deaths in a minute are the end', () => {
  let now = 0
  const policy = new RestartPolicy(() => now)
  assert.deepEqual(
    [0, 1, 2, 3, 4, 9, 10, 11, 99].map((failures) => policy.delayMs(failures)),
    [0, 0, 50, 100, 200, 6400, 10_000, 10_000, 10_000],
  )
  for (const at of [0, 20_000, 40_000, 59_000]) {
    now = at
    policy.recordDeath()
  }
  now = 60_000
  policy.recordDeath()
  assert.equal(policy.hasGivenUp, false, 'the first of them was more than a minute ago')
  now = 60_001
  policy.recordDeath()
  assert.deepEqual([policy.hasGivenUp, policy.delayMs(6), policy.delayMs(0)], [true, 60_000, 0])
  now = 200_000
  policy.recordDeath()
  assert.equal(policy.hasGivenUp, true, 'only work that was done lifts it')
  policy.recordSuccess()
  assert.equal(policy.hasGivenUp, false)
})

test('a model whose workers keep dying is given up: what waits and what comes is refused until a new try works', async (t) => {
  const it = await TestPool.of(t, 1, { isRetryable: false })
  const waits = [0, 50, 100, 200]
  for (const [index, waitMs] of waits.entries()) {
    it.submit(`victim ${index}`)
    it.worker(-1).die()
    await it.pass(waitMs)
    assert.equal(it.workers.length, index + 1, `not before ${waitMs} ms`)
    await it.pass(2)
    assert.equal(it.workers.length, index + 2)
  }
  const [victim, waiting] = it.submitAll('victim 5', 'waiting')
  assert.equal(it.pool.status.hasFailed, false)
  it.worker(-1).die('was killed by SIGTERM')
  await turn()
  assert.ok(victim && waiting)
  assert.deepEqual(await outcomes([victim, waiting]), [
    '500 InternalServerException',
    '503 ServiceUnavailableException',
  ])
  const isGivenUp = {
    type: 'ServiceUnavailableException',
    retryAfterSeconds: 60,
    message: /has failed.*SIGTERM/,
  }
  await assert.rejects(waiting.result, isGivenUp)
  assert.equal(it.pool.status.hasFailed, true)
  assert.throws(() => it.submit('late'), isGivenUp)

  await it.leap(59_000)
  assert.equal(it.workers.length, 5)
  await it.leap(1100)
  assert.deepEqual(
    [it.workers.length, it.pool.status.hasFailed],
    [6, false],
    'a worker is there again: it gets a try',
  )
  it.submit('try')
  it.worker(-1).die()
  await turn()
  assert.equal(it.pool.status.hasFailed, true, 'one more death is enough')

  await it.leap(60_100)
  const good = it.submit('good')
  it.worker(-1).answer()
  assert.equal(await answerOf(good), 'good')
  it.submit('victim')
  it.worker(-1).die()
  await it.pass(2)
  assert.equal(it.pool.status.readyWorkers, 1, 'all is forgotten after work that was done')
})

test('loads that fail count as deaths, and a worker that dies idle does not', async (t) => {
  const it = await TestPool.of(t, 1)
  for (let round = 0; round < 20; round += 1) {
    it.worker(-1).die()
    await it.pass(2)
  }
  assert.deepEqual([it.workers.length, it.pool.status.readyWorkers], [21, 1])
  it.onStart = (worker) => worker.die('exited with code 1')
  it.worker(-1).die()
  await it.pass(400)
  assert.deepEqual([it.workers.length, it.pool.status.hasFailed], [26, true])
  assert.match(it.pool.slots[0]?.lastFailure ?? '', /exited with code 1/)
  assert.equal(it.pool.slots[0]?.restarts, 25)
})

test('a failed model whose workers were all stopped gets a new chance', async (t) => {
  const it = await TestPool.of(t, 1)
  it.onStart = (worker) => worker.die('exited with code 1')
  it.worker(-1).die()
  await it.pass(400)
  assert.equal(it.pool.status.hasFailed, true)
  await it.pool.scale(0)
  assert.equal(it.pool.status.hasFailed, false)
  it.onStart = (worker) => worker.load()
  await it.pool.scale(1)
  const job = it.submit('next')
  it.worker(-1).answer()
  assert.equal(await answerOf(job), 'next')
})

test('E14: starts that fail for lack of resources are no deaths of the model; each try waits longer', async (t) => {
  const it = await TestPool.of(t, 1)
  it.onStart = (worker) => worker.failToStart()
  it.worker(-1).die()
  const waiting = it.submit('waiting')
  for (const [index, waitMs] of [0, 0, 50, 100, 200, 400].entries()) {
    await it.pass(Math.max(0, waitMs - 3))
    assert.equal(it.workers.length <= index + 2, true, `not before ${waitMs} ms`)
    await it.pass(6)
  }
  await it.leap(40_000)
  assert.equal(it.pool.status.hasFailed, false)
  const tries = it.workers.length
  assert.ok(tries > 7 && tries < 20, `${tries} tries`)
  assert.match(it.pool.slots[0]?.lastFailure ?? '', /EMFILE/)
  it.onStart = (worker) => worker.load()
  await it.leap(10_100)
  it.worker(-1).answer()
  assert.equal(await answerOf(waiting), 'waiting')
})

test('E14: the first worker is tried again for a few seconds while resources lack, and then given up', async (t) => {
  const it = new TestPool(t)
  it.onStart = (worker) => worker.failToStart()
  const scaled = it.pool.scale(1)
  await it.pass(200)
  it.onStart = (worker) => worker.load()
  await it.pass(200)
  await scaled
  assert.equal(it.pool.status.readyWorkers, 1)

  it.onStart = (worker) => worker.failToStart()
  const failing = assert.rejects(it.pool.scale(2), /EMFILE/)
  await it.pass(4000)
  await failing
  assert.deepEqual([it.pool.slots.length, it.pool.status.hasFailed], [1, false])

  const overtaken = assert.rejects(it.pool.scale(2), /A later request stopped the workers/)
  await it.pass(10)
  await it.pool.scale(1)
  await overtaken
})

test('workers whose cached weights were changed are replaced at once and are no deaths of the model', async (t) => {
  const it = new TestPool(t)
  it.onStart = (worker) => {
    if (it.workers.length < 3) worker.loseWeights()
    else worker.load()
  }
  const scaled = it.pool.scale(1)
  await it.pass(100)
  await scaled
  assert.equal(it.workers.length, 3)
  const job = it.submit('a')
  for (let death = 1; death <= 6; death += 1) {
    it.worker(-1).loseWeights()
    await it.pass(6)
    assert.equal(it.workers.length, 3 + death)
  }
  it.worker(-1).answer()
  assert.equal(await answerOf(job), 'a')
  assert.equal(it.pool.status.hasFailed, false)
})

test('a worker that serves keeps the model up and does not hurry one beside it that cannot start', async (t) => {
  const it = await TestPool.of(t, 2)
  it.onStart = (worker) => worker.die('exited with code 1')
  it.worker(1).die()
  for (let round = 0; round < 100; round += 1) {
    const job = it.submit('a')
    it.worker(0).answer()
    assert.equal(await answerOf(job), 'a')
    await it.pass(100)
  }
  const starts = it.workers.length - 2
  assert.ok(starts > 5 && starts < 10, `${starts} starts in 10 s`)
  assert.deepEqual([it.pool.status.hasFailed, it.pool.status.readyWorkers], [false, 1])
})

test('scaling up resolves when the new workers are ready, scaling down when the newest are gone', async (t) => {
  const it = new TestPool(t)
  it.onStart = () => {}
  let isScaled = false
  const scaled = it.pool.scale(3).then(() => (isScaled = true))
  it.submit('a')
  for (const worker of it.workers) {
    assert.equal(isScaled, false)
    worker.load()
    await turn()
  }
  await scaled
  assert.deepEqual(it.worker(0).seen, [['a']], 'a job that came early waited')
  assert.deepEqual(
    it.pool.slots.map(({ id }) => id),
    [1, 2, 3],
  )

  const busy = it.submitAll('b', 'c')
  isScaled = false
  const shrunk = it.pool.scale(1).then(() => (isScaled = true))
  assert.deepEqual(
    it.pool.slots.map(({ id }) => id),
    [1],
  )
  await turn()
  assert.deepEqual([isScaled, it.worker(1).state, it.worker(2).state], [false, 'ready', 'ready'])
  it.worker(1).answer()
  it.worker(2).answer()
  await shrunk
  assert.deepEqual(await outcomes(busy), ['b', 'c'])
  await it.leap(1000)
  assert.deepEqual([it.workers.length, it.worker(2).state, it.worker(2).kills], [3, 'stopped', []])

  it.onStart = (worker) => worker.load()
  await it.pool.scale(2)
  assert.deepEqual(
    it.pool.slots.map(({ id }) => id),
    [1, 4],
    'ids are not used twice',
  )
})

test(
  'a worker that is scaled away while it hangs or dies at work holds nothing up',
  { timeout: 10_000 },
  async (t) => {
    const it = await TestPool.of(t, 3, { queueTimeoutMs: 1000 })
    const jobs = it.submitAll('a', 'dies', 'hangs')
    const shrunk = it.pool.scale(1)
    it.worker(1).die()
    for (let left = 2; left > 0; left -= 1) {
      await turn()
      it.worker(0).answer()
    }
    await it.leap(1000)
    await shrunk
    assert.equal(it.worker(2).kills.length, 1)
    it.worker(0).answer()
    await turn()
    assert.deepEqual(await outcomes(jobs), ['a', 'dies', 'hangs'], 'both ran again')
  },
)

test('closing also ends workers that were being scaled away', async (t) => {
  const it = await TestPool.of(t, 2)
  const jobs = it.submitAll('a', 'b')
  const shrunk = it.pool.scale(1)
  await it.pool.close(0)
  await shrunk
  assert.deepEqual(
    it.workers.map(({ state }) => state),
    ['stopped', 'stopped'],
  )
  assert.deepEqual([...new Set(await outcomes(jobs))], ['503 ServiceUnavailableException'])
})

test('without workers nothing is accepted, and scaling to none refuses what waits', async (t) => {
  const it = await TestPool.of(t, 1)
  const [running, waiting] = it.submitAll('running', 'waiting')
  const scaled = it.pool.scale(0)
  assert.ok(running && waiting)
  assert.deepEqual(await outcomes([running, waiting]), [
    'waiting',
    '503 ServiceUnavailableException',
  ])
  assert.throws(() => it.submit('late'), { statusCode: 503 })
  it.worker(0).answer()
  await scaled
  assert.equal(await answerOf(running), 'running')
  await it.pool.scale(1)
  it.submit('again')
  assert.deepEqual(it.worker(1).seen, [['again']])
})

test('a slot whose first load fails is not kept, the others are, and what waited for it alone is refused', async (t) => {
  const it = new TestPool(t)
  it.onStart = () => {}
  const scaled = it.pool.scale(2)
  it.worker(0).load()
  it.worker(1).die('exited with code 3')
  await assert.rejects(scaled, /exited with code 3/)
  assert.deepEqual(
    it.pool.slots.map(({ id }) => id),
    [1],
  )

  await it.pool.scale(0)
  const failed = it.pool.scale(1)
  const job = it.submit('a')
  it.worker(-1).die()
  await assert.rejects(failed)
  assert.deepEqual(
    [it.pool.slots.length, await outcome(job)],
    [0, '503 ServiceUnavailableException'],
  )

  it.onStart = (worker) => worker.load()
  await it.pool.scale(1)
  it.onStart = () => {}
  const up = it.pool.scale(2)
  const down = it.pool.scale(1)
  await assert.rejects(up)
  await down
  assert.deepEqual(
    it.pool.slots.map(({ id }) => id),
    [4],
    'a slot scaled away while it loaded takes no other with it',
  )
})

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`no promise is left hanging and no response goes astray, whatever happens (seed ${seed})`, async (t) => {
    const random = generator(seed)
    const it = await TestPool.of(t, 2, {
      batchSize: 1 + (seed % 4),
      maxBatchDelayMs: seed % 3,
      isRetryable: seed % 2 === 0,
      queueTimeoutMs: 50,
    })
    it.onStart = (worker) => {
      worker.keepInFlight(1 + random(3))
      if (random(10) > 0) worker.load()
      else worker.die('exited with code 1')
    }
    const jobs: Job[] = []
    const scalings: Promise<unknown>[] = []
    const busy = (): FakeWorker[] => it.workers.filter((worker) => worker.batches.length > 0)
    const cancelOne = (recent: readonly Job[]): void => {
      const job = recent[random(recent.length)]
      if (job) it.cancel(job)
    }
    for (let step = 0; step < 3000; step += 1) {
      const dice = random(100)
      if (dice < 35) {
        try {
          jobs.push(it.submit(`job ${step}`, { bytes: random(20) }))
        } catch (error) {
          assert.equal(error instanceof ServerError && error.statusCode, 503)
        }
      } else if (dice < 75)
        busy()[random(busy().length)]?.answer(
          random(20) === 0 ? { code: 503, predictions: [] } : {},
        )
      else if (dice < 78) busy()[random(busy().length)]?.die()
      else if (dice < 79) it.workers[random(it.workers.length)]?.die()
      else if (dice < 85) cancelOne(jobs.slice(-8))
      else if (dice < 86) scalings.push(it.pool.scale(1 + random(3)).catch(() => {}))
      else await it.pass(1)
    }
    assert.ok(jobs.length > 300, `${jobs.length} jobs`)
    const closed = it.pool.close(20)
    for (let step = 0; step < 20; step += 1) {
      busy()[random(busy().length)]?.[random(4) === 0 ? 'die' : 'answer']()
      await it.pass(2)
    }
    await closed
    await Promise.all(scalings)
    assert.deepEqual(
      jobs.filter((job) => !job.isSettled).map(({ request }) => nameOf(request)),
      [],
    )
    const counts = new Map<string, number>()
    for (const job of jobs) {
      const result = await outcome(job)
      const kind = result.startsWith('job ') ? 'answered' : result
      if (kind === 'answered') assert.equal(result, nameOf(job.request))
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
    }
    assert.ok((counts.get('answered') ?? 0) > jobs.length / 4, JSON.stringify([...counts]))
    assert.ok(it.workers.every((worker) => worker.state === 'stopped'))
    assert.equal(it.pool.queued, 0)
    const runs = it.workers.flatMap(({ seen }) => seen.flat())
    t.diagnostic(
      `${jobs.length} jobs, ${runs.length} runs, ${it.workers.length} workers: ${JSON.stringify([...counts])}`,
    )
  })
}

/** Small whole numbers below `limit`, the same for each seed (xorshift). */
function generator(seed: number): (limit: number) => number {
  let state = (seed * 2_654_435_761) >>> 0
  return (limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return limit === 0 ? 0 : (state >>> 0) % limit
  }
}

test('a request is rejected early exactly when a job would be rejected, with the same error', async (t) => {
  const it = await TestPool.of(t, 1, {
    queue: { maxJobs: 2, maxBytes: 1000 },
    overloadStatus: 429,
  })
  const refusals: (string | undefined)[] = []
  const compare = (): void => {
    const rejection = it.pool.rejection()
    if (rejection !== undefined) it.pool.countRejection(rejection)
    let refused: unknown
    try {
      it.submit('x')
    } catch (error) {
      refused = error
    }
    const text = (error: unknown): string | undefined =>
      error instanceof ServerError ? `${error.statusCode} ${error.message}` : undefined
    assert.equal(text(rejection?.error), text(refused))
    refusals.push(text(rejection?.error)?.slice(0, 3))
  }
  for (let count = 0; count < 4; count += 1) compare()
  it.worker(0).answer()
  await turn()
  compare()
  compare()
  await it.pool.close(0)
  compare()
  assert.deepEqual(refusals, [undefined, undefined, undefined, '429', undefined, '429', '503'])
  assert.equal(it.pool.metrics.rejections.queue_full, 4, 'each is counted')
})

test('a worker is said to have starved when it had nothing left and work waited, not otherwise', async (t) => {
  const it = await TestPool.of(t, 1)
  const worker = it.worker(0)
  worker.keepInFlight(2)
  it.submitAll('a', 'b', 'c', 'd', 'e')
  worker.answer()
  await turn()
  assert.equal(worker.timesIdle, 0, 'one was still ahead of it')
  // Both answers are seen in one turn: it has waited since the second.
  worker.answer()
  worker.answer()
  await turn()
  assert.equal(worker.timesIdle, 1)
  assert.deepEqual(worker.seen.flat(), ['a', 'b', 'c', 'd', 'e'])
  worker.answer()
  worker.answer()
  await turn()
  assert.equal(worker.timesIdle, 1, 'nothing waited')
})

test('behind a running batch goes one that is full, or that nobody can join; any goes to an idle worker', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 3 })
  const worker = it.worker(0)
  worker.keepInFlight(3)
  it.submitAll('a', 'b', 'c')
  assert.deepEqual(worker.seen, [['a']], 'nobody waits while the worker is idle')
  it.submit('d')
  assert.deepEqual(worker.seen.slice(1), [['b', 'c', 'd']])
  it.submitAll('e', 'f')
  worker.answer()
  await turn()
  assert.equal(worker.seen.length, 2, 'others may still join them')
  worker.answer()
  await turn()
  assert.deepEqual(worker.seen.slice(2), [['e', 'f']], 'nothing to do, so they go as they are')
  assert.equal(worker.timesIdle, 0, 'that was meant so')
  it.submit('g')
  void it.pool.close(1000)
  assert.deepEqual(worker.seen.slice(3), [['g']], 'nobody comes any more')
  worker.answer()
  worker.answer()
  await turn()
})

test('behind quick runs a batch goes as it is', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 3 })
  const worker = it.worker(0)
  worker.keepInFlight(2, 2)
  it.submitAll('a', 'b', 'c')
  assert.deepEqual(worker.seen, [['a'], ['b']])
  worker.answer()
  await turn()
  assert.deepEqual(worker.seen.slice(2), [['c']])
  worker.answer()
  worker.answer()
  await turn()
})
