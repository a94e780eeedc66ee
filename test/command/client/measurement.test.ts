import assert from 'node:assert/strict'
import test from 'node:test'
import { array, assert as check, double, property } from 'fast-check'
import { runLoad } from '../../../src/command/client/bench/load-loop.ts'
import { summarize } from '../../../src/command/client/bench/measurement.ts'
import { testSeed } from '../../helpers/random.ts'

const never = new AbortController().signal

test('percentiles, throughput and errors are counted', () => {
  const latencies = Array.from({ length: 1000 }, (_, index) => index + 1)
  const outcomes = new Map([
    ['200', 1000],
    ['503', 7],
    ['ECONNRESET', 1],
  ])
  const { requests, errors, errorsBy, throughput, latencyMs } = summarize({
    latencies,
    outcomes,
    elapsedMs: 2000,
  })
  assert.deepEqual({ requests, errors, throughput }, { requests: 1008, errors: 8, throughput: 500 })
  assert.deepEqual(errorsBy, { 503: 7, ECONNRESET: 1 })
  const { min, p50, p90, p99, max } = latencyMs
  assert.deepEqual([min, p50, p90, p99, max], [1, 501, 901, 991, 1000])
})

test('the histogram has every latency once, in at most twelve bars with rising limits', () => {
  const latency = double({ min: 0.001, max: 1e6, noNaN: true })
  check(
    property(array(latency, { minLength: 1, maxLength: 200 }), (latencies) => {
      const { histogram } = summarize({ latencies, outcomes: new Map(), elapsedMs: 1 })
      assert.equal(
        histogram.reduce((sum, { count }) => sum + count, 0),
        latencies.length,
      )
      assert.ok(histogram.length <= 12, `${histogram.length} bars`)
      for (const { fromMs, toMs } of histogram) assert.ok(fromMs < toMs, `${fromMs} ${toMs}`)
      assert.ok((histogram.at(-1)?.toMs ?? 0) >= Math.max(...latencies))
    }),
    { seed: testSeed(), numRuns: 200 },
  )
})

test('a closed loop has one request of each client at a time', async () => {
  let [open, most] = [0, 0]
  const { latencies, outcomes } = await runLoad(
    { kind: 'closed', clients: 3, ms: 200 },
    async () => {
      open += 1
      most = Math.max(most, open)
      await new Promise((resolve) => setImmediate(resolve))
      open -= 1
      return 200
    },
    never,
  )
  assert.equal(most, 3)
  assert.equal(outcomes.get('200'), latencies.length)
})

test('an open loop sends at its rate while responses are missing, and counts latency from then', async () => {
  const waiting: (() => void)[] = []
  const { latencies, outcomes } = await runLoad(
    { kind: 'open', rate: 200, ms: 50 },
    async () => {
      const response = new Promise<number>((resolve) => waiting.push(() => resolve(200)))
      if (waiting.length === 10) for (const respond of waiting) respond()
      return response
    },
    never,
  )
  assert.deepEqual([...outcomes], [['200', 10]])
  // All responses came with the last request, which was due 45 ms after the first.
  // Timers may fire early, by less than a millisecond.
  assert.ok((latencies[0] ?? 0) >= 44, String(latencies[0]))
  assert.ok((latencies[0] ?? 0) - (latencies[9] ?? 0) > 40, String(latencies))
})
