import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { boundsOf } from '../../../src/models/rollout/confidence.ts'
import { randomNumbers, testSeed } from '../../helpers/random.ts'

/** The mixture divided by the likelihood under `p`, as a product over the trials. */
function ratio(count: number, hits: number, p: number): number {
  let logarithm = 0
  for (let index = 0; index < count; index += 1) {
    const isHit = index < hits
    const seen = isHit ? index : index - hits
    logarithm += Math.log((seen + 0.5) / (index + 1)) - Math.log(isHit ? p : 1 - p)
  }
  return Math.exp(logarithm)
}

test('the bounds are where the mixture is 1 / alpha times as likely', () => {
  for (const [count, hits, alpha] of [
    [1, 1, 0.05],
    [10, 0, 0.025],
    [750, 0, 0.025],
    [1000, 20, 0.001],
    [40_000, 39_990, 1e-4],
  ] as const) {
    const { lower, upper } = boundsOf({ count, hits }, alpha)
    assert.ok(lower <= hits / count && hits / count <= upper)
    for (const [bound, isReached] of [
      [lower, hits > 0],
      [upper, hits < count],
    ] as const) {
      if (!isReached) continue
      const seen = ratio(count, hits, bound) * alpha
      assert.ok(Math.abs(seen - 1) < 1e-6, `${count} ${hits}: ${seen}`)
    }
  }
  assert.deepEqual(boundsOf({ count: 0, hits: 0 }, 0.05), { lower: 0, upper: 1 })
})

test('bounds enclose the measured share, and are wider with more certainty', () => {
  const tally = fc
    .integer({ min: 0, max: 100_000 })
    .chain((count) =>
      fc.record({ count: fc.constant(count), hits: fc.integer({ min: 0, max: count }) }),
    )
  fc.assert(
    fc.property(tally, fc.double({ min: 1e-6, max: 0.5, noNaN: true }), (counted, alpha) => {
      const { lower, upper } = boundsOf(counted, alpha)
      const wider = boundsOf(counted, alpha / 2)
      const share = counted.count === 0 ? 0 : counted.hits / counted.count
      assert.ok(0 <= lower && lower <= share && share <= upper && upper <= 1)
      assert.ok(wider.lower <= lower && upper <= wider.upper)
    }),
    { seed: testSeed(), numRuns: 500 },
  )
})

const SEQUENCES = 500
const ALPHA = 0.05
const seed = testSeed()

test(`the bounds hold at every look at a growing sample, seed ${seed}`, () => {
  const random = randomNumbers(seed)
  for (const p of [0.01, 0.3]) {
    let missed = 0
    for (let sequence = 0; sequence < SEQUENCES; sequence += 1) {
      let hits = 0
      for (let count = 1; count <= 1000; count += 1) {
        if (random.next() < p) hits += 1
        // Every look at the start, where few trials decide, then fewer.
        if (count > 50 && count % 25 > 0) continue
        const { lower, upper } = boundsOf({ count, hits }, ALPHA)
        if (lower <= p && p <= upper) continue
        missed += 1
        break
      }
    }
    // Five standard deviations above the bound of the theory.
    const allowed = SEQUENCES * ALPHA + 5 * Math.sqrt(SEQUENCES * ALPHA * (1 - ALPHA))
    assert.ok(missed <= allowed, `${missed} of ${SEQUENCES} sequences for ${p}`)
  }
})
