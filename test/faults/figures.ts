/** The figures of `npm run test:faults`: each is measured by a test and printed beside its goal. */
import { appendFileSync } from 'node:fs'
import process from 'node:process'
import type { TestContext } from 'node:test'

/** One line of the table. */
export interface Figure {
  /** What was measured, in a few words. Lines of the table are sorted by the order of the tests. */
  readonly what: string
  /** The goal, with its unit. */
  readonly goal: string
  /** What was measured, with its unit. */
  readonly seen: string
  readonly isMet: boolean
}

/** Prints a measured value in the output of its test, and in the table of `npm run test:faults`. */
export function reportFigure(t: TestContext, figure: Figure): void {
  const { what, goal, seen, isMet } = figure
  t.diagnostic(`${what}: ${seen} (goal ${goal}${isMet ? '' : ', missed'})`)
  const file = process.env.ONNXD_FIGURES
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(figure)}\n`)
}

/** A value below which a share of the measurements lie: 0.5 for the median, 0.99 for p99. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
