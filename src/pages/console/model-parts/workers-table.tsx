import type { JSX } from 'preact'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import { Empty } from '../../shared/components/notice.tsx'
import { Status } from '../../shared/components/status.tsx'
import { NONE, formatAge, formatBytes, formatCount } from '../../shared/format.ts'
import type { Version, Worker } from '../logic/live.ts'

const STATES = {
  READY: ['Ready', 'good'],
  LOADING: ['Loading', 'info'],
  UNLOADING: ['Stopping', 'neutral'],
} as const

/** The worker processes of a version. */
export function WorkersTable({ version, now }: { version: Version; now: number }): JSX.Element {
  const columns: readonly Column<Worker>[] = [
    { title: 'Worker', cell: ({ id }) => String(id) },
    { title: 'Process id', cell: ({ pid }) => pid ?? NONE, isNumber: true },
    {
      title: 'State',
      cell: ({ status }) => <Status tone={STATES[status][1]}>{STATES[status][0]}</Status>,
    },
    { title: 'At work', cell: ({ inFlight }) => formatCount(inFlight), isNumber: true },
    { title: 'Private', cell: ({ memory }) => formatBytes(memory?.privateBytes), isNumber: true },
    { title: 'Shared', cell: ({ memory }) => formatBytes(memory?.sharedBytes), isNumber: true },
    {
      title: 'Running for',
      cell: ({ startTime }) => formatAge(now - Date.parse(startTime)),
      isNumber: true,
    },
    { title: 'Restarts', cell: ({ restarts }) => formatCount(restarts), isNumber: true },
    {
      title: 'Last failure',
      className: 'breakable failure-cell',
      cell: ({ lastFailure }) => lastFailure ?? NONE,
    },
  ]
  if (version.workers.length === 0) return <Empty title="No worker runs.">{whyNone(version)}</Empty>
  return (
    <DataTable
      caption="Workers"
      columns={columns}
      rows={version.workers}
      keyOf={({ id }) => String(id)}
    />
  )
}

function whyNone({ loadsOnDemand }: Version): string {
  return loadsOnDemand
    ? 'The model loads when a request comes.'
    : 'Requests get status 503 until a worker is added.'
}
