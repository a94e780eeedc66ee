/** The interface of a benchmark and its results. */

/** A measured value, with one number for each round. */
export interface Figure {
  readonly what: string
  readonly unit: string
  readonly rounds: readonly number[]
  /** The value that it should reach. */
  readonly goal?: Goal
}

export type Goal = { readonly atLeast: number } | { readonly atMost: number }

/** What to measure, for how long and how often. */
export interface Plan {
  /** Duration of each measurement under load. */
  readonly seconds: number
  readonly rounds: number
  /** Compiled command of the measured server. */
  readonly cli: string
  /** Base URL of a running server, for benchmarks that can use one. */
  readonly url: string | undefined
  readonly note: (text: string) => void
}

/** A benchmark of the list in `docs/benchmarks.md`. */
export interface Benchmark {
  readonly id: string
  readonly title: string
  /** The reason why it cannot run here, `undefined` if it can. */
  readonly missing: () => string | undefined
  readonly run: (plan: Plan) => Promise<readonly Figure[]>
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

/** Whether the median reaches the goal; `undefined` without a goal. */
export function isReached({ goal, rounds }: Figure): boolean | undefined {
  if (goal === undefined) return undefined
  const value = median(rounds)
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost
}

/**
 * Calls `round` for each round. Returns a function that gives the results of all rounds by name.
 */
export async function gather<Name extends string>(
  rounds: number,
  round: () => Promise<Record<Name, number>>,
): Promise<(name: Name) => number[]> {
  const all: Record<Name, number>[] = []
  for (let index = 0; index < rounds; index++) all.push(await round())
  return (name) => all.map((figures) => figures[name])
}
