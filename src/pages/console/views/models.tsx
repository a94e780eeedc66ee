import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Field } from '../../shared/components/field.tsx'
import { Empty, Notice } from '../../shared/components/notice.tsx'
import { formatCount } from '../../shared/format.ts'
import type { Live, Version } from '../logic/live.ts'
import { modelAddress, viewAddress } from '../logic/route.ts'
import { hasProblem } from '../logic/version-facts.ts'
import { VersionsTable } from '../model-parts/versions-table.tsx'
import { goTo } from '../page-state/router.ts'
import { FailedLoads } from '../parts/failed-loads.tsx'
import { RunningWork } from '../parts/running-work.tsx'
import { SearchField } from '../parts/search-field.tsx'

const FILTERS = {
  all: ['All states', () => true],
  problem: ['With a problem', hasProblem],
  ready: ['Ready', ({ status }: Version) => status === 'READY'],
  unloaded: ['Not in memory', ({ status }: Version) => status === 'UNLOADED'],
} as const
type Filter = keyof typeof FILTERS
const FILTER_NAMES = Object.keys(FILTERS) as Filter[]

/** All models, and those that could not be loaded. */
export function Models({ now }: { now: Live }): JSX.Element {
  const [text, setText] = useState('')
  const [filter, setFilter] = useState<Filter>('all')
  const { versions, failed, server } = now
  const [, matches] = FILTERS[filter]
  const wanted = text.trim().toLowerCase()
  const shown = versions.filter(
    (version) => matches(version) && version.name.toLowerCase().includes(wanted),
  )
  const isCut = server.totalVersions > versions.length
  return (
    <>
      <FailedLoads failed={failed} />
      <RunningWork now={now} />
      {isCut && (
        <Notice tone="info">
          {`The list has ${formatCount(versions.length)} of ${formatCount(server.totalVersions)} versions: those with workers or requests first. To open another model, write its full name below and press Enter.`}
        </Notice>
      )}
      <section class="card">
        <form
          class="filter-bar"
          onSubmit={(event) => {
            event.preventDefault()
            const [only, ...others] = shown
            if (only !== undefined && others.length === 0)
              goTo(modelAddress(only.name, only.version))
            else if (isCut && text.trim() !== '') goTo(modelAddress(text.trim()))
          }}
        >
          <SearchField label="Name contains" text={text} onText={setText} />
          <Field label="State">
            {(ids) => (
              <select
                {...ids}
                class="input"
                value={filter}
                onChange={(event) => {
                  const { value } = event.currentTarget
                  setFilter(FILTER_NAMES.find((name) => name === value) ?? 'all')
                }}
              >
                {FILTER_NAMES.map((name) => (
                  <option key={name} value={name}>
                    {FILTERS[name][0]}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <span class="dim small filter-count" role="status">
            {`${formatCount(shown.length)} of ${formatCount(versions.length)}`}
          </span>
        </form>
        {shown.length > 0 ? (
          <VersionsTable versions={shown} now={now.time} canSort />
        ) : (
          <Empty title={versions.length === 0 ? 'No model is registered.' : 'No model fits.'}>
            {versions.length === 0 && (
              <a class="button primary" href={viewAddress('register')}>
                Register a model
              </a>
            )}
          </Empty>
        )}
      </section>
    </>
  )
}
