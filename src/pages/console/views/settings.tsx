import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import { Empty, ErrorNotice } from '../../shared/components/notice.tsx'
import { formatCount } from '../../shared/format.ts'
import { SearchField } from '../parts/search-field.tsx'
import { useLoaded } from '../parts/use-loaded.ts'

/** A setting of the server. A secret has no value. */
interface Setting {
  readonly name: string
  readonly value?: unknown
  readonly isSet?: boolean
  readonly default: unknown
  readonly from: string
  readonly flag: string
  readonly variable: string
  readonly description: string
}

const COLUMNS: readonly Column<Setting>[] = [
  {
    title: 'Setting',
    cell: ({ name, variable }) => (
      <>
        <span class="mono breakable">{name}</span>
        <span class="setting-variable mono breakable">{variable}</span>
      </>
    ),
  },
  {
    title: 'Value',
    className: 'value-cell',
    cell: (setting) => <SettingValue setting={setting} />,
  },
  {
    title: 'From',
    className: 'nowrap',
    cell: ({ from }) => <span class={from === 'default' ? 'dim' : ''}>{from}</span>,
  },
  {
    title: 'Meaning',
    className: 'wide-only meaning-cell',
    cell: ({ description }) => description.replaceAll('`', ''),
  },
]

/** The settings of the server, with the origin of each. */
export function Settings(): JSX.Element {
  const { data, error } = useLoaded<{ readonly settings: readonly Setting[] }>('console/settings')
  const [text, setText] = useState('')
  const [isChangedOnly, setIsChangedOnly] = useState(false)
  if (error !== undefined) return <ErrorNotice error={error} />
  const all = data?.settings ?? []
  const wanted = text.trim().toLowerCase()
  const shown = all.filter(
    ({ name, flag, variable, description, from }) =>
      (!isChangedOnly || from !== 'default') &&
      [name, flag, variable, description].some((part) => part.toLowerCase().includes(wanted)),
  )
  return (
    <section class="card">
      <form class="filter-bar" onSubmit={(event) => event.preventDefault()}>
        <SearchField label="Contains" text={text} onText={setText} />
        <label class="check">
          <input
            type="checkbox"
            checked={isChangedOnly}
            onChange={(event) => setIsChangedOnly(event.currentTarget.checked)}
          />
          Changed only
        </label>
        <span class="dim small filter-count" role="status">
          {`${formatCount(shown.length)} of ${formatCount(all.length)}`}
        </span>
      </form>
      {shown.length === 0 && data !== undefined ? (
        <Empty title="No setting fits." />
      ) : (
        <DataTable caption="Settings" columns={COLUMNS} rows={shown} keyOf={({ name }) => name} />
      )}
      <p class="card-foot dim small">
        Settings are fixed while the server runs. Change them as a flag, as an environment variable,
        or in the config file, and start the server again.
      </p>
    </section>
  )
}

function SettingValue({ setting }: { setting: Setting }): JSX.Element {
  const { isSet, value } = setting
  if (isSet !== undefined) return <span class="dim">{isSet ? 'set, not shown' : 'not set'}</span>
  const isEmpty = value === '' || (Array.isArray(value) && value.length === 0)
  if (isEmpty) return <span class="dim">empty</span>
  return (
    <span class="mono breakable">
      {typeof value === 'string' ? value : JSON.stringify(value).replaceAll(',', ', ')}
    </span>
  )
}
