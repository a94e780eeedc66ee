import type { Histogram } from './live.ts'

/**
 * The values that were added to a histogram between two readings. A counter that became smaller
 * was reset, because the model was registered again; then all values are new.
 */
export function addedBetween(
  before: Histogram | undefined,
  now: Histogram | undefined,
): Histogram | undefined {
  if (now === undefined || before === undefined || countOf(before) > countOf(now)) return now
  return {
    bounds: now.bounds,
    cumulative: now.cumulative.map((count, index) => count - (before.cumulative[index] ?? 0)),
    sum: now.sum - before.sum,
  }
}

/** Adds histograms with the same bounds. */
export function sumOf(histograms: readonly (Histogram | undefined)[]): Histogram | undefined {
  const present = histograms.filter((histogram) => histogram !== undefined)
  const [first] = present
  if (first === undefined) return undefined
  return {
    bounds: first.bounds,
    cumulative: first.cumulative.map((_, index) =>
      present.reduce((sum, { cumulative }) => sum + (cumulative[index] ?? 0), 0),
    ),
    sum: present.reduce((sum, histogram) => sum + histogram.sum, 0),
  }
}

/** Number of values. */
export function countOf({ cumulative }: Histogram): number {
  return cumulative.at(-1) ?? 0
}

/**
 * Estimates a quantile, for example 0.99. Values are taken as evenly distributed between two
 * bounds; a value above all bounds counts as the last bound. `undefined` without values.
 */
export function quantileOf(histogram: Histogram | undefined, quantile: number): number | undefined {
  if (histogram === undefined || countOf(histogram) === 0) return undefined
  const { bounds, cumulative } = histogram
  const rank = quantile * countOf(histogram)
  const index = cumulative.findIndex((count) => count >= rank && count > 0)
  const upper = bounds[index]
  if (upper === undefined) return bounds.at(-1)
  const lower = bounds[index - 1] ?? 0
  const below = cumulative[index - 1] ?? 0
  const inside = (cumulative[index] ?? 0) - below
  return inside === 0 ? upper : lower + (upper - lower) * ((rank - below) / inside)
}
