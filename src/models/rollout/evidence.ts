/** Compares the new version with the present one, in three criteria. */
import { boundsOf, shareOf } from './confidence.ts'
import type { Tally } from './confidence.ts'
import type { RolloutPlan } from './plan.ts'

/**
 * The probability that a rollout of a version within its limits is rolled back, over all criteria,
 * steps and looks together. Bonferroni's inequality divides it.
 */
export const FALSE_ALARM = 0.01
/** The probability that one criterion passes a version beyond its limit in one step. */
export const FALSE_PASS = 0.05
/** By definition, at most this share of the requests is slower than the 99th percentile. */
export const SLOW_SHARE = 0.01
/**
 * A version passes when its share of slow requests is below this. A version that is exactly as slow
 * as the limit allows would never be proved to be below {@link SLOW_SHARE}.
 */
const PASSING_SLOW_SHARE = 0.02

export const CRITERIA = ['errors', 'latency', 'agreement'] as const
export type Criterion = (typeof CRITERIA)[number]

/** What was counted in a step. */
export interface Observed {
  /** Requests of each side, and how many of them failed. */
  readonly errors: Sides
  /**
   * Requests with a measured time, and those above the limit: of the present version its 99th
   * percentile, of the new one the multiple of it that the plan allows.
   */
  readonly slow: Sides
  /** Compared responses, and those that did not agree. */
  readonly disagreed: Tally
}

/** A tally of the new version and one of the present version. */
export interface Sides {
  readonly next: Tally
  readonly present: Tally
}

/** One criterion. Its value is a share of requests that must not exceed the limit. */
export interface Evidence {
  readonly criterion: Criterion
  readonly value: number
  /** The true value is not smaller, and not larger; see {@link FALSE_ALARM}, {@link FALSE_PASS}. */
  readonly lower: number
  readonly upper: number
  readonly limit: number
  /** The criterion passes when the upper bound is at or below this. */
  readonly passing: number
  /** Observations of the new version. */
  readonly requests: number
  readonly verdict: 'good' | 'bad' | 'open'
}

/** Returns the criteria that the plan wants, each with bounds that hold at every look. */
export function evidenceOf(plan: RolloutPlan, { errors, slow, disagreed }: Observed): Evidence[] {
  const { steps, max_error_rate: maxErrors, min_agreement: minAgreement } = plan
  const alpha = FALSE_ALARM / CRITERIA.length
  const perStep = alpha / steps.length
  const failed = difference(errors, perStep, (share) => share)
  const evidence = [judged('errors', failed, maxErrors, maxErrors)]
  if (plan.max_p99_ratio > 0) {
    // The present version may have become slower too: then the new one may as well.
    const excess = (share: number): number => Math.max(0, share - SLOW_SHARE)
    const late = difference(slow, perStep, excess)
    evidence.push(judged('latency', late, SLOW_SHARE, PASSING_SLOW_SHARE))
  }
  if (minAgreement === undefined) return evidence
  // Responses do not depend on the share, so comparisons of all steps count together.
  const value = {
    value: shareOf(disagreed),
    lower: boundsOf(disagreed, alpha).lower,
    upper: boundsOf(disagreed, FALSE_PASS).upper,
    requests: disagreed.count,
  }
  return [...evidence, judged('agreement', value, 1 - minAgreement, 1 - minAgreement)]
}

type Value = Pick<Evidence, 'value' | 'lower' | 'upper' | 'requests'>

/** By how much the new version exceeds what `allowed` makes of the share of the present one. */
function difference(
  { next, present }: Sides,
  alpha: number,
  allowed: (share: number) => number,
): Value {
  return {
    value: shareOf(next) - allowed(shareOf(present)),
    lower: boundsOf(next, alpha / 2).lower - allowed(boundsOf(present, alpha / 2).upper),
    upper: boundsOf(next, FALSE_PASS / 2).upper - allowed(boundsOf(present, FALSE_PASS / 2).lower),
    requests: next.count,
  }
}

function judged(criterion: Criterion, value: Value, limit: number, passing: number): Evidence {
  const isBad = value.lower > limit
  const isGood = !isBad && value.upper <= passing
  const verdict = isBad ? 'bad' : isGood ? 'good' : 'open'
  return { criterion, ...value, limit, passing, verdict }
}
