import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import {
  NONE,
  formatAge,
  formatBytes,
  formatCount,
  formatDecimal,
  formatMilliseconds,
} from '../../shared/format.ts'
import type { Version } from '../logic/live.ts'
import { modelAddress } from '../logic/route.ts'
import { keyOf, memoryOf, urgencyOf } from '../logic/version-facts.ts'
import { trackOf } from '../page-state/live-data.ts'
import { VersionStatus } from './version-status.tsx'

interface SortableColumn extends Column<Version> {
  /** What the rows are sorted by: a text, or a number, of which the larger is more interesting. */
  readonly sortBy: (version: Version) => string | number
}

interface VersionsTableProps {
  readonly versions: readonly Version[]
  /** The server's clock. */
  readonly now: number
  readonly canSort?: boolean
}

/** Model versions with their current figures. */
export function VersionsTable({ versions, now, canSort = false }: VersionsTableProps): JSX.Element {
  const [sorting, setSorting] = useState({ column: 0, isDescending: false })
  const columns = columnsAt(now)
  const by = columns[sorting.column]?.sortBy
  const rows = canSort && by !== undefined ? sorted(versions, by, sorting.isDescending) : versions
  const sort = (column: number): void => {
    // The first click on a figure shows the largest first.
    const isText = column === 0
    const isSame = sorting.column === column
    setSorting({ column, isDescending: isSame ? !sorting.isDescending : !isText })
  }
  return (
    <DataTable
      caption="Models"
      columns={columns}
      rows={rows}
      keyOf={keyOf}
      {...(canSort && { sorting, onSort: sort })}
    />
  )
}

function columnsAt(now: number): readonly SortableColumn[] {
  return [
    {
      title: 'Model',
      className: 'name-cell',
      cell: (version) => <VersionName version={version} />,
      sortBy: ({ name }) => name,
    },
    {
      title: 'State',
      cell: ({ status }) => <VersionStatus state={status} />,
      sortBy: (version) => -urgencyOf(version),
    },
    {
      title: 'Workers',
      cell: ({ readyWorkers, minWorkers }) =>
        `${formatCount(readyWorkers)} of ${formatCount(minWorkers)}`,
      isNumber: true,
      className: 'wide-only',
      sortBy: ({ readyWorkers }) => readyWorkers,
    },
    {
      title: 'Requests/s',
      cell: (version) => formatDecimal(trackOf(version).rates.requests),
      isNumber: true,
      sortBy: (version) => trackOf(version).rates.requests ?? 0,
    },
    {
      title: 'p50',
      cell: (version) => formatMilliseconds(trackOf(version).last?.p50),
      isNumber: true,
      className: 'wide-only extra-wide-only',
      sortBy: (version) => trackOf(version).last?.p50 ?? 0,
    },
    {
      title: 'p99',
      cell: (version) => formatMilliseconds(trackOf(version).last?.p99),
      isNumber: true,
      className: 'wide-only',
      sortBy: (version) => trackOf(version).last?.p99 ?? 0,
    },
    {
      title: 'Waiting',
      cell: ({ queued }) => formatCount(queued),
      isNumber: true,
      className: 'wide-only',
      sortBy: ({ queued }) => queued,
    },
    {
      title: '5xx',
      cell: ({ statuses }) => formatCount(statuses['5xx']),
      isNumber: true,
      className: 'wide-only',
      sortBy: ({ statuses }) => statuses['5xx'] ?? 0,
    },
    {
      title: 'Memory',
      cell: (version) => formatBytes(memoryOf(version)),
      isNumber: true,
      className: 'wide-only',
      sortBy: memoryOf,
    },
    {
      title: 'Last request',
      cell: ({ lastRequestAt }) =>
        lastRequestAt === 0 ? NONE : `${formatAge(Math.max(0, now - lastRequestAt))} ago`,
      isNumber: true,
      className: 'wide-only extra-wide-only',
      sortBy: ({ lastRequestAt }) => lastRequestAt,
    },
  ]
}

function VersionName({ version: { name, version, isDefault } }: { version: Version }): JSX.Element {
  return (
    <span class="name">
      <a class="breakable" href={modelAddress(name, version)}>
        {name}
      </a>
      <span class="version-tag">{version}</span>
      {!isDefault && <span class="version-tag">not the default</span>}
    </span>
  )
}

function sorted(
  versions: readonly Version[],
  by: SortableColumn['sortBy'],
  isDescending: boolean,
): readonly Version[] {
  const direction = isDescending ? -1 : 1
  return versions.toSorted((one, other) => {
    const [first, second] = [by(one), by(other)]
    const order =
      typeof first === 'number' && typeof second === 'number'
        ? first - second
        : String(first).localeCompare(String(second))
    return direction * order
  })
}
