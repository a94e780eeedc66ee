import { isReached, median } from './benchmark.ts'
import type { Figure } from './benchmark.ts'

const WIDTH = 58

/** A line for one value: median, lowest and highest round, goal. */
export function figureLine(figure: Figure): string {
  const { what, unit, rounds, goal } = figure
  const value = `${number(median(rounds))}${unit === '' ? '' : ` ${unit}`}`
  const range =
    rounds.length > 1 ? ` (${number(Math.min(...rounds))} … ${number(Math.max(...rounds))})` : ''
  const wanted =
    goal === undefined
      ? ''
      : 'atLeast' in goal
        ? `goal ≥ ${number(goal.atLeast)}`
        : `goal ≤ ${number(goal.atMost)}`
  const mark = goal === undefined ? '' : isReached(figure) === true ? ' ✓' : ' ✗'
  return `${what.padEnd(WIDTH)} ${`${value}${range}`.padEnd(32)} ${wanted}${mark}`.trimEnd()
}

/** Formats a value with about three significant digits. */
function number(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}
