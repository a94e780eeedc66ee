/** What a benchmark is, and what it tells. */

/** A figure that a benchmark measured, once a round. */
export interface Figure {
  readonly what: string
  readonly unit: string
  readonly rounds: readonly number[]
  /** What it should be. */
  readonly goal?: Goal
}

export type Goal = { readonly atLeast: number } | { readonly atMost: number }

/** How long and how often to measure, and what. */
export interface Plan {
  /** Seconds under load, each time. */
  readonly seconds: number
  readonly rounds: number
  /** Compiled command of the server that is measured. */
  readonly cli: string
  /** Base URL of a server that runs already, for the benchmarks that can take one. */
  readonly url: string | undefined
  readonly note: (text: string) => void
}

/** One benchmark of the list in `docs/benchmarks.md`. */
export interface Benchmark {
  readonly id: string
  readonly title: string
  /** Why it cannot run here, `undefined` when it can. */
  readonly missing: () => string | undefined
  readonly run: (plan: Plan) => Promise<readonly Figure[]>
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

/** Whether the median reaches the goal; `undefined` without one. */
export function isReached({ goal, rounds }: Figure): boolean | undefined {
  if (goal === undefined) return undefined
  const value = median(rounds)
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost
}

/** Runs `round` for each round and gathers what it returns, by name. */
export async function gather<Name extends string>(
  rounds: number,
  round: () => Promise<Record<Name, number>>,
): Promise<(name: Name) => number[]> {
  const all: Record<Name, number>[] = []
  for (let index = 0; index < rounds; index++) all.push(await round())
  return (name) => all.map((figures) => figures[name])
}
