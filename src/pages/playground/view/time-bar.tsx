import type { JSX } from 'preact'
import { formatMilliseconds } from '../../shared/format.ts'
import type { RequestTime } from '../result/server-timing.ts'

/** Where the time of the request went: a stacked bar with its legend. */
export function TimeBar({ time }: { time: RequestTime }): JSX.Element {
  const { parts, batch, totalMs } = time
  const shared = batch === undefined ? undefined : batchText(batch)
  return (
    <figure class="time">
      <figcaption>
        Time <span class="dim">{formatMilliseconds(totalMs)}</span>
        {shared !== undefined && <span class="dim"> · {shared}</span>}
      </figcaption>
      <div class="time-bar" aria-hidden="true">
        {parts.map(({ name, ms }) => (
          <span
            key={name}
            class={`part-${name}`}
            style={{ width: `${(ms / Math.max(totalMs, 0.001)) * 100}%` }}
          />
        ))}
      </div>
      <ul class="legend">
        {parts.map(({ name, label, meaning, ms }) => (
          <li key={name} title={meaning}>
            <span class={`swatch part-${name}`} aria-hidden="true" />
            {label} <span class="dim">{formatMilliseconds(ms)}</span>
          </li>
        ))}
      </ul>
      {parts.length === 1 ? (
        <p class="small dim">The server does not say where the time went (--no-server-timing).</p>
      ) : (
        <details class="meanings">
          <summary>What the parts mean</summary>
          <dl>
            {parts.map(({ name, label, meaning }) => (
              <div key={name}>
                <dt>{label}</dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </figure>
  )
}

/** `3/8` are three requests in a batch that may have eight. */
function batchText(batch: string): string | undefined {
  const [size, limit] = batch.split('/')
  if (limit === undefined || limit === '1') return undefined
  return `batch of ${size}, at most ${limit}`
}
