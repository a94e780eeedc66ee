/** When a batch waits for one more job: by numbers, and as the pool does it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { BatchCost, LearnedDelay } from '../../../src/models/scheduling/batch-delay.ts'
import { randomNumbers } from '../../helpers/random.ts'
import { TestPool } from '../../helpers/test-pool.ts'

type Cost = (size: number) => number

/** What is learned from runs of these sizes, of a known cost, and then from arrivals with this gap, of which the last is at 0. */
function learned(gapMs: number, sizes: readonly number[], cost: Cost): LearnedDelay {
  const delay = new LearnedDelay()
  for (let round = 0; round < 40; round += 1)
    for (const size of sizes) delay.recordReturn(-1e6, size, cost(size))
  for (let arrival = -100; arrival <= 0; arrival += 1) delay.recordArrival(arrival * gapMs)
  return delay
}

function costOf(rounds: number, sizes: readonly number[], cost: Cost): BatchCost {
  const learnedCost = new BatchCost()
  for (let round = 0; round < rounds; round += 1)
    for (const size of sizes) learnedCost.add(size, cost(size))
  return learnedCost
}

function assertNear(actual: number, expected: number, tolerance = 1e-6): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`)
}

/** Whether so many jobs that are there at 0 would wait. */
const waits = (delay: LearnedDelay, size = 1): boolean => delay.until(size) > 0

test('the cost of a batch is told apart into a fixed part and one for each job', () => {
  const exact = costOf(10, [1, 2, 5, 8], (size) => 10 + 0.5 * size)
  assertNear(exact.fixedMs, 10)
  assertNear(exact.perJobMs, 0.5)
  const random = randomNumbers(7)
  const noisy = costOf(40, [1, 3, 4, 8, 16], (size) => 6 + 2 * size + random.next() - 0.5)
  assertNear(noisy.fixedMs, 6, 0.3)
  assertNear(noisy.perJobMs, 2, 0.05)
})

test('a cost that changes is learned anew', () => {
  const cost = costOf(40, [1, 4], (size) => 20 + size)
  for (let round = 0; round < 300; round += 1) cost.add(1 + (round % 4), 5 + 3 * (round % 4))
  assertNear(cost.fixedMs, 2, 0.1)
  assertNear(cost.perJobMs, 3, 0.05)
})

test('while all batches have one size, what a job costs is what it was before, or a guess', () => {
  const cost = costOf(10, [1, 2, 4], (size) => 10 + size)
  for (let round = 0; round < 2000; round += 1) cost.add(4, 14)
  assertNear(cost.fixedMs, 10)
  assertNear(cost.perJobMs, 1)
  const guess = costOf(10, [4], () => 40)
  assert.deepEqual([guess.fixedMs, guess.perJobMs], [30, 2.5])
})

test('few runs say nothing, and neither part of a cost is below 0', () => {
  const few = costOf(1, [1, 2, 3, 4], () => 100)
  assert.deepEqual([few.fixedMs, few.perJobMs], [0, 0])
  const falling = costOf(10, [1, 5], (size) => 20 - size)
  assertNear(falling.fixedMs, 17, 0.2)
  assert.equal(falling.perJobMs, 0)
  const steep = costOf(10, [1, 5], (size) => 7 * size - 5)
  assertNear(steep.fixedMs, 0)
})

test('dense traffic and a high fixed cost: it waits, for as many as pay', () => {
  // n·(g + 1) < 10 - g with g between 1 / 1.2 and 1.2 holds up to n = 4.
  const delay = learned(1, [1, 2, 4, 8], (size) => 10 + size)
  assert.deepEqual(
    [1, 2, 3, 4, 5, 9].map((size) => waits(delay, size)),
    [true, true, true, true, false, false],
  )
  assert.ok(delay.until(1) <= 3 * 1.2, `${delay.until(1)} ms, where a job comes each millisecond`)
})

test('sparse traffic: it never waits', () => {
  assert.equal(waits(learned(100, [1, 2, 4], (size) => 50 + size)), false)
  assert.equal(waits(new LearnedDelay()), false)
})

test('a cost without a fixed part: it never waits, however dense the traffic', () => {
  const delay = learned(0.001, [1, 2, 4, 8], (size) => 5 * size)
  for (const size of [1, 2, 7]) assert.equal(waits(delay, size), false)
})

test('a fixed cost below what a timer can tell is not worth a timer', () => {
  assert.equal(waits(learned(0.01, [1, 2, 4], (size) => 0.9 + 0.01 * size)), false)
})

test('a pause between groups of jobs is no gap', () => {
  const delay = learned(1, [1, 2, 4, 8], (size) => 10 + size)
  delay.recordArrival(3_600_000)
  assert.ok(delay.until(1) > 3_600_000)
})

test('what comes soon after a return is waited for then, and not after an arrival', () => {
  // Two clients, each of which asks again a millisecond after its answer: one waits while the other is served.
  const delay = new LearnedDelay()
  let now = 0
  for (let round = 0; round < 100; round += 1) {
    delay.recordReturn((now += 9), 1, 10)
    delay.recordArrival((now += 1))
  }
  assert.ok(delay.until(1) < now, 'the other one is being served')
  delay.recordReturn((now += 9), 1, 10)
  assert.ok(delay.until(1) > now + 1)
})

/** Teaches a pool that a batch takes 20 ms, whatever its size, and that a job comes each 2 ms. */
async function learnedPool(it: TestPool): Promise<void> {
  const { seen } = it.worker(0)
  for (let round = 0; round < 60; round += 1) {
    it.submit('lesson')
    await it.pass(2)
    if (round % 10 < 9) continue
    while (it.worker(0).batches.length > 0) {
      it.worker(0).answer()
      await it.pass(20)
    }
  }
  seen.length = 0
}

test('the pool waits for the next job only while that pays', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 4, maxBatchDelayMs: 'auto' })
  const { seen } = it.worker(0)
  it.submit('first')
  assert.deepEqual(seen, [['first']], 'nothing is known yet')
  await learnedPool(it)

  it.submit('a')
  await it.pass(2)
  it.submit('b')
  assert.deepEqual(seen, [], 'each gap of 2 ms is less than the 20 ms of a run of its own')
  await it.pass(10)
  assert.deepEqual(seen, [['a', 'b']], 'nobody came')
  it.worker(0).answer()
  await turn()

  it.submitAll('c', 'd', 'e', 'f')
  assert.deepEqual(seen[1], ['c', 'd', 'e', 'f'], 'a full batch waits for nobody')
  it.worker(0).answer()
  await turn()

  it.submit('g')
  const closed = it.pool.close(1000)
  assert.deepEqual(seen[2], ['g'], 'nobody can join while the pool drains')
  it.worker(0).answer()
  await closed
})

test('nobody waits while another worker has nothing to do, nor a job that is repeated', async (t) => {
  const it = await TestPool.of(t, 1, { batchSize: 4, maxBatchDelayMs: 'auto' })
  await learnedPool(it)
  it.submit('a')
  assert.deepEqual(it.worker(0).seen, [])
  await it.pool.scale(2)
  assert.deepEqual(it.worker(0).seen, [['a']])
  it.submit('b')
  assert.deepEqual(it.worker(1).seen, [], 'the first is at work: company for the second may come')
  await it.pass(20)
  assert.deepEqual(it.worker(1).seen, [['b']])
  it.worker(1).die()
  await it.pass(2)
  assert.deepEqual(it.worker(2).seen, [['b']])
})
