import type { JSX } from 'preact'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import { Empty, ErrorNotice, Notice } from '../../shared/components/notice.tsx'
import { ProgressBar } from '../../shared/components/progress-bar.tsx'
import {
  NONE,
  formatAge,
  formatAmount,
  formatBytes,
  formatCount,
  formatDateTime,
  formatPercent,
} from '../../shared/format.ts'
import type { Live, Version } from '../logic/live.ts'
import { modelAddress } from '../logic/route.ts'
import { keyOf, memoryOf, sumOfCounts } from '../logic/version-facts.ts'
import { VersionStatus } from '../model-parts/version-status.tsx'
import { Card } from '../parts/card.tsx'
import { Tile, Tiles } from '../parts/tile.tsx'
import { useLoaded } from '../parts/use-loaded.ts'

/** The weight cache on disk. */
interface WeightCache {
  readonly isOn: boolean
  readonly folder?: string
  readonly entries?: readonly CacheEntry[]
}

interface CacheEntry {
  readonly key: string
  readonly bytes: number
  readonly usedAt: string
}

/** Characters of a key that tell entries apart. */
const KEY_LENGTH = 12

/** Models that load on demand, and the weight cache. */
export function Cache({ now }: { now: Live }): JSX.Element {
  const { modelMemory, versions } = now
  const onDemand = versions.filter(({ loadsOnDemand }) => loadsOnDemand)
  const evictions = onDemand.map(({ evictions: counts }) => counts)
  const forMemory = evictions.reduce((sum, { memory = 0 }) => sum + memory, 0)
  const idle = evictions.reduce((sum, counts) => sum + (counts['idle'] ?? 0), 0)
  const share = modelMemory.usedBytes / modelMemory.budgetBytes
  return (
    <>
      {modelMemory.isThrashing && (
        <Notice tone="warning">
          Most of the time goes into loading models that were unloaded shortly before. Give the
          server a larger <code>modelMemoryMib</code>, or spread the models over more servers.
        </Notice>
      )}
      <Tiles>
        <Tile
          label="Memory of models on demand"
          value={formatBytes(modelMemory.usedBytes)}
          note={
            <>
              <ProgressBar label="Share of the budget" share={share} />
              {`${formatPercent(share)} of ${formatBytes(modelMemory.budgetBytes)}`}
            </>
          }
        />
        <Tile
          label="In memory"
          value={formatCount(modelMemory.loadedModels)}
          note={`of ${formatAmount(onDemand.length, 'model')} on demand`}
        />
        <Tile
          label="Loads"
          value={formatCount(onDemand.reduce((sum, { loads }) => sum + loads, 0))}
          note="since the registrations"
        />
        <Tile
          label="Evictions"
          value={formatCount(forMemory + idle)}
          note={`${formatCount(forMemory)} for memory · ${formatCount(idle)} not used`}
        />
      </Tiles>
      <Card title="Models on demand" isFlush>
        {onDemand.length === 0 ? (
          <Empty title="No model loads on demand.">
            <p>
              Models load on demand with <code>--load on-demand</code>, or with their setting{' '}
              <code>loadOnDemand</code>.
            </p>
          </Empty>
        ) : (
          <DataTable
            caption="Models on demand"
            columns={columnsAt(now.time)}
            rows={onDemand}
            keyOf={keyOf}
          />
        )}
      </Card>
      <WeightCacheCard />
    </>
  )
}

function columnsAt(now: number): readonly Column<Version>[] {
  return [
    {
      title: 'Model',
      className: 'name-cell',
      cell: ({ name, version }) => (
        <span class="name">
          <a class="breakable" href={modelAddress(name, version)}>
            {name}
          </a>
          <span class="version-tag">{version}</span>
        </span>
      ),
    },
    { title: 'State', cell: ({ status }) => <VersionStatus state={status} /> },
    {
      title: 'Memory',
      cell: (version) => formatBytes(memoryOf(version)),
      isNumber: true,
      className: 'wide-only',
    },
    { title: 'Loads', cell: ({ loads }) => formatCount(loads), isNumber: true },
    {
      title: 'Evictions',
      cell: ({ evictions }) => formatCount(sumOfCounts(evictions)),
      isNumber: true,
    },
    {
      title: 'Last request',
      cell: ({ lastRequestAt }) =>
        lastRequestAt === 0 ? NONE : `${formatAge(Math.max(0, now - lastRequestAt))} ago`,
      isNumber: true,
      className: 'wide-only',
    },
  ]
}

function WeightCacheCard(): JSX.Element {
  const { data, error } = useLoaded<WeightCache>('console/weight-cache')
  if (error !== undefined) return <ErrorNotice error={error} />
  const entries = data?.entries ?? []
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  const columns: readonly Column<CacheEntry>[] = [
    {
      title: 'Entry',
      cell: ({ key }) => (
        <span class="mono" title={key}>
          {key.slice(0, KEY_LENGTH)}
        </span>
      ),
    },
    { title: 'Size', cell: (entry) => formatBytes(entry.bytes), isNumber: true },
    { title: 'Last used', cell: ({ usedAt }) => formatDateTime(usedAt), isNumber: true },
  ]
  return (
    <Card
      title="Weight cache"
      aside={
        data?.isOn === true && (
          <span class="dim small">
            {`${formatAmount(entries.length, 'entry', 'entries')}, ${formatBytes(bytes)}`}
          </span>
        )
      }
      isFlush
    >
      {data?.isOn === true && <p class="card-body dim small mono breakable">{data.folder}</p>}
      {data?.isOn === false && (
        <Empty title="The weight cache is off.">
          <p>
            The setting <code>weightCache</code> lets workers of a model share its weights.
          </p>
        </Empty>
      )}
      {entries.length > 0 && (
        <DataTable
          caption="Entries of the weight cache"
          columns={columns}
          rows={entries.toReversed()}
          keyOf={({ key }) => key}
        />
      )}
    </Card>
  )
}
