import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { measureSpeeds, threadCounts } from '../../../src/models/deep-check/speed.ts'

/** A worker that takes `ms` for each request, and counts batches by size. */
function workerOf(ms: number): {
  send: (requests: readonly unknown[]) => Promise<never[]>
  batches: Map<number, number>
} {
  const batches = new Map<number, number>()
  return {
    batches,
    send: async (requests) => {
      batches.set(requests.length, (batches.get(requests.length) ?? 0) + 1)
      await delay(ms * requests.length)
      return []
    },
  }
}

const requests = [{ headers: [], parameters: [] }]

test('batches of a slow model are not measured if they would take all of the time', async () => {
  const slow = workerOf(40)
  const speeds = await measureSpeeds(slow, { requests, isSafe: true, threads: 2, ms: 100 })
  assert.deepEqual(
    speeds.map(({ threads, batch }) => [threads, batch]),
    [[2, 1]],
  )
  assert.ok((speeds[0]?.requestsPerSecond ?? 100) <= 25)
  // Without time, one batch has to do.
  const late = workerOf(1)
  assert.equal(
    (await measureSpeeds(late, { requests, isSafe: true, threads: 1, ms: -5 })).length,
    1,
  )
  assert.deepEqual([...late.batches], [[1, 1]])
})

test('all sizes of batches are measured, or single requests of a model that does not join', async () => {
  const fast = workerOf(1)
  const speeds = await measureSpeeds(fast, { requests, isSafe: true, threads: 1, ms: 60_000 })
  assert.deepEqual(
    speeds.map(({ batch }) => batch),
    [1, 4, 16],
  )
  for (const [, count] of fast.batches) assert.ok(count > 1)
  const single = await measureSpeeds(fast, { requests, isSafe: false, threads: 1, ms: 10 })
  assert.equal(single.length, 1)
  assert.ok(threadCounts(7).includes(7) && threadCounts(1)[0] === 1)
})
