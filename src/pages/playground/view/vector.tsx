import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { formatAmount } from '../../shared/format.ts'
import { LongText } from './long-text.tsx'
import { shortNumber } from './numbers.ts'

/** Cells of the strip. More values share cells. */
const CELLS = 96

/** Many numbers: a strip that shows their signs and sizes, and the numbers. */
export function Vector({
  title,
  values,
}: {
  title: string
  values: readonly number[]
}): JSX.Element {
  const { cells, largest, least, length } = useMemo(() => measure(values), [values])
  const text = useMemo(() => values.map(textOf).join(', '), [values])
  return (
    <figure class="vector">
      <figcaption>
        {title} <span class="dim">{formatAmount(values.length, 'value')}</span>
      </figcaption>
      <div class="strip" aria-hidden="true">
        {cells.map((value, index) => (
          <span
            key={index}
            class={value < 0 ? 'is-negative' : undefined}
            style={{ opacity: String(Math.max(0.06, Math.abs(value))) }}
          />
        ))}
      </div>
      <p class="small dim">
        from {shortNumber(least)} to {shortNumber(largest)}, length {shortNumber(length)}
      </p>
      <LongText label={`Numbers of ${title}`} text={text} />
    </figure>
  )
}

function textOf(value: number): string {
  return Number.isFinite(value) ? String(value) : 'null'
}

/** Means of the values for the cells, scaled to the largest, and a summary. */
function measure(values: readonly number[]) {
  const size = Math.max(1, Math.ceil(values.length / CELLS))
  const means: number[] = []
  let [largest, least, squares] = [-Infinity, Infinity, 0]
  for (let at = 0; at < values.length; at += size) {
    let sum = 0
    for (const value of values.slice(at, at + size)) {
      const finite = Number.isFinite(value) ? value : 0
      sum += finite
      squares += finite * finite
      largest = Math.max(largest, finite)
      least = Math.min(least, finite)
    }
    means.push(sum / size)
  }
  const scale = Math.max(...means.map(Math.abs)) || 1
  return { cells: means.map((mean) => mean / scale), largest, least, length: Math.sqrt(squares) }
}
