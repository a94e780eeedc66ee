/** How one of several HTTP processes divides numbers with the others. */

/** One of several equal processes. */
export interface Share {
  /** From 0; process 0 is the server itself. */
  readonly index: number
  readonly count: number
}

/** The share of a server with one HTTP process: everything. */
export const WHOLE: Share = { index: 0, count: 1 }

/**
 * Returns the part of a number that belongs to one process. The first processes get the rest of the
 * division. It is at least 1, unless the number is 0.
 */
export function partOf(total: number, { index, count }: Share): number {
  const part = Math.floor(total / count) + (index < total % count ? 1 : 0)
  return total === 0 ? 0 : Math.max(1, part)
}
