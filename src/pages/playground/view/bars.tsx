import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../../shared/components/button.tsx'
import { formatCount } from '../../shared/format.ts'
import type { Bar } from '../result/result-view.ts'
import { shortNumber } from './numbers.ts'

/** Bars that are shown at first. */
const FEW = 10
/** A list that is only a little longer is not cut. */
const CUT_FROM = 21
const MANY = 200

interface BarsProps {
  readonly title: string
  readonly bars: readonly Bar[]
  /** Whether the bars keep their order; else the highest is the first. */
  readonly isOrdered?: boolean
}

/** Labels with their numbers. */
export function Bars({ title, bars, isOrdered = false }: BarsProps): JSX.Element {
  const [isAll, setIsAll] = useState(false)
  const sorted = isOrdered ? bars : bars.toSorted((a, b) => orderOf(b.value) - orderOf(a.value))
  const isCut = sorted.length >= CUT_FROM
  const shown = sorted.slice(0, isCut && !isAll ? FEW : MANY)
  const scores = sorted.map(({ value }) => orderOf(value))
  const best = scores.indexOf(Math.max(...scores))
  const largest = Math.max(
    ...bars.map(({ value }) => (Number.isFinite(value) ? Math.abs(value) : 0)),
  )
  // Probabilities have a common scale; other scores fill the width.
  const full = largest <= 1 ? 1 : largest
  return (
    <figure class="bars">
      <figcaption>{title}</figcaption>
      <table>
        <caption class="only-read">{title}</caption>
        <thead class="only-read">
          <tr>
            <th scope="col">Label</th>
            <th scope="col">Score</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ label, value }, index) => (
            <tr key={index} class={index === best ? 'is-best' : undefined}>
              <th scope="row">
                <span class="bar-label breakable">{label === '' ? '(empty)' : label}</span>
                <span class="bar-track" aria-hidden="true">
                  <span
                    class={value < 0 ? 'bar-fill is-negative' : 'bar-fill'}
                    style={{ width: `${Math.min(100, (Math.abs(value) / full) * 100) || 0}%` }}
                  />
                </span>
              </th>
              <td class="number">{shortNumber(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {isCut && (
        <Button kind="quiet" onClick={() => setIsAll(!isAll)}>
          {isAll ? 'Show fewer' : `Show ${formatCount(Math.min(sorted.length, MANY))}`}
        </Button>
      )}
    </figure>
  )
}

/** NaN comes last. */
function orderOf(value: number): number {
  return Number.isNaN(value) ? -Infinity : value
}
