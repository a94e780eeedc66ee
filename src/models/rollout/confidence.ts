/** Confidence bounds for a probability that hold at every look at the data. */

/** Trials, and those with the event in question. */
export interface Tally {
  readonly count: number
  readonly hits: number
}

/** The probability is between these, each from 0 to 1. */
export interface Bounds {
  readonly lower: number
  readonly upper: number
}

/** Halvings of an interval; the bounds are then exact to 13 digits. */
const HALVINGS = 44
const SMALLEST_STIRLING = 8

/**
 * A confidence sequence for the probability of an event: with probability `1 - alpha` the true
 * value is inside the bounds at all times together, however often and whenever somebody looks. A
 * fixed-sample interval would be wrong sooner or later if it is looked at again and again.
 *
 * For the true probability p, the ratio
 *
 *     R(n) = B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p^k (1 - p)^(n - k))
 *
 * of the likelihood under a Beta(1/2, 1/2) mixture to that under p is a nonnegative martingale with
 * mean 1. By Ville's inequality it reaches `1 / alpha` with probability `alpha` at most. The bounds
 * enclose all p for which it has not (the mixture SPRT, inverted).
 *
 * H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
 * Mathematical Statistics 41 (1970); S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
 * "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49
 * (2021); R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Always valid inference: continuous
 * monitoring of A/B tests", Operations Research 70 (2022).
 */
export function boundsOf({ count, hits }: Tally, alpha: number): Bounds {
  const misses = count - hits
  const mixture = logBeta(hits + 0.5, misses + 0.5) - Math.log(Math.PI)
  const threshold = mixture + Math.log(alpha)
  const isInside = (p: number): boolean => times(hits, p) + times(misses, 1 - p) > threshold
  const best = count === 0 ? 0.5 : hits / count
  return {
    lower: hits === 0 ? 0 : border(best, 0, isInside),
    upper: misses === 0 ? 1 : border(best, 1, isInside),
  }
}

/** The share of hits; 0 without trials. */
export function shareOf({ count, hits }: Tally): number {
  return count === 0 ? 0 : hits / count
}

/** Adds up tallies. */
export function sumOf(tallies: readonly Tally[]): Tally {
  return {
    count: tallies.reduce((sum, { count }) => sum + count, 0),
    hits: tallies.reduce((sum, { hits }) => sum + hits, 0),
  }
}

/** The border between a place inside and one outside. */
function border(inside: number, outside: number, isInside: (p: number) => boolean): number {
  let [near, far] = [inside, outside]
  for (let halving = 0; halving < HALVINGS; halving += 1) {
    const middle = (near + far) / 2
    if (isInside(middle)) near = middle
    else far = middle
  }
  return far
}

/** `count * ln(p)`; nothing happened no times with any probability. */
function times(count: number, p: number): number {
  return count === 0 ? 0 : count * Math.log(p)
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b)
}

/** Stirling's series; smaller values are shifted up to where it is exact to 11 digits. */
function logGamma(value: number): number {
  let shift = 0
  let x = value
  for (; x < SMALLEST_STIRLING; x += 1) shift += Math.log(x)
  const series = 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5) - 1 / (1680 * x ** 7)
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + series - shift
}
