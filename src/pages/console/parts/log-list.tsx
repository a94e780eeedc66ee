import type { JSX } from 'preact'
import { Status } from '../../shared/components/status.tsx'
import type { Tone } from '../../shared/components/status.tsx'
import { formatAmount, formatClock, formatDateTime } from '../../shared/format.ts'
import type { LogEntry } from '../logic/live.ts'
import { shownLine } from '../logic/log-line.ts'
import type { Level } from '../logic/log-line.ts'

const TONES: Readonly<Record<Level, Tone>> = {
  trace: 'neutral',
  debug: 'neutral',
  info: 'neutral',
  warn: 'warning',
  error: 'bad',
  fatal: 'bad',
}

/** Lines of the log in their order. A line with a stack or a worker's output can be opened. */
export function LogList({
  entries,
  label,
}: {
  entries: readonly LogEntry[]
  label: string
}): JSX.Element {
  return (
    <ol class="log" aria-label={label}>
      {entries.map((entry, index) => (
        <LogRow key={`${String(entry['time'])} ${String(index)}`} entry={entry} />
      ))}
    </ol>
  )
}

function LogRow({ entry }: { entry: LogEntry }): JSX.Element {
  const { time, level, text, model, details, more } = shownLine(entry)
  return (
    <li class="log-row">
      <time dateTime={new Date(time).toISOString()} title={formatDateTime(time)}>
        {formatClock(time)}
      </time>
      <Status tone={TONES[level]}>{level}</Status>
      <div class="log-text breakable">
        <span>{text}</span>
        {model !== '' && <span class="log-model">{model}</span>}
        {details !== '' && <span class="dim mono">{details}</span>}
        {more.length > 0 && (
          <details>
            <summary>{formatAmount(more.length, 'more line')}</summary>
            <pre class="log-more">{more.join('\n')}</pre>
          </details>
        )}
      </div>
    </li>
  )
}
