import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../../shared/components/button.tsx'
import { Field } from '../../shared/components/field.tsx'
import { Empty } from '../../shared/components/notice.tsx'
import { formatCount } from '../../shared/format.ts'
import type { Live, LogEntry } from '../logic/live.ts'
import { LEVELS, isAtLeast } from '../logic/log-line.ts'
import type { Level } from '../logic/log-line.ts'
import { LogList } from '../parts/log-list.tsx'
import { SearchField } from '../parts/search-field.tsx'

const MOST_LINES = 300

/** The last lines of the log, newest first. */
export function Log({ now }: { now: Live }): JSX.Element {
  const [level, setLevel] = useState<Level>('info')
  const [text, setText] = useState('')
  /** The lines of the moment when the reader pressed the button. */
  const [held, setHeld] = useState<readonly LogEntry[]>()
  const all = held ?? now.log
  const wanted = text.trim().toLowerCase()
  const found = all
    .filter((entry) => isAtLeast(entry, level))
    .filter((entry) => wanted === '' || JSON.stringify(entry).toLowerCase().includes(wanted))
    .toReversed()
  const shown = found.slice(0, MOST_LINES)
  return (
    <section class="card">
      <form class="filter-bar" onSubmit={(event) => event.preventDefault()}>
        <SearchField label="Contains" text={text} onText={setText} />
        <Field label="Level">
          {(ids) => (
            <select
              {...ids}
              class="input"
              value={level}
              onChange={(event) => {
                const { value } = event.currentTarget
                setLevel(LEVELS.find((name) => name === value) ?? 'info')
              }}
            >
              {LEVELS.map((name) => (
                <option key={name} value={name}>
                  {name === 'fatal' ? name : `${name} and above`}
                </option>
              ))}
            </select>
          )}
        </Field>
        <span class="filter-count row">
          <span class="dim small">
            {found.length > shown.length
              ? `${formatCount(shown.length)} of ${formatCount(found.length)} lines`
              : `${formatCount(found.length)} lines`}
          </span>
          <Button onClick={() => setHeld(held === undefined ? now.log : undefined)}>
            {held === undefined ? 'Pause' : 'Continue'}
          </Button>
        </span>
      </form>
      {shown.length === 0 ? (
        <Empty title="No line fits." />
      ) : (
        <LogList entries={shown} label="Log, newest first" />
      )}
      <p class="card-foot dim small">
        Requests that succeeded are left out. <code>onnxd logs</code> shows them too.
      </p>
    </section>
  )
}
