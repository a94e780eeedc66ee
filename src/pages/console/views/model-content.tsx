import type { JSX } from 'preact'
import { LogLines, Notice } from '../../shared/components/notice.tsx'
import {
  NONE,
  formatAmount,
  formatBytes,
  formatCount,
  formatDecimal,
  formatMilliseconds,
} from '../../shared/format.ts'
import type { Live, Version } from '../logic/live.ts'
import { isAtLeast, workerErrors } from '../logic/log-line.ts'
import { modelAddress } from '../logic/route.ts'
import { lastFailureOf, memoryOf, requestsOf, sumOfCounts } from '../logic/version-facts.ts'
import { ModelActions } from '../model-parts/model-actions.tsx'
import { ModelDescription } from '../model-parts/model-description.tsx'
import { RolloutCard } from '../model-parts/rollout-card.tsx'
import { VersionStatus } from '../model-parts/version-status.tsx'
import { WorkersTable } from '../model-parts/workers-table.tsx'
import { trackOf } from '../page-state/live-data.ts'
import { Card } from '../parts/card.tsx'
import { FailedLoads } from '../parts/failed-loads.tsx'
import { LiveCharts } from '../parts/live-charts.tsx'
import { LogList } from '../parts/log-list.tsx'
import { Tile, Tiles } from '../parts/tile.tsx'

const MOST_LINES = 50

interface ModelContentProps {
  readonly now: Live
  /** All versions of the model. */
  readonly versions: readonly Version[]
  readonly shown: Version
  /** Whether the counters of the version are known. */
  readonly isLive: boolean
}

/** One version of a model: workers, traffic, settings and log. */
export function ModelContent({ now, versions, shown, isLive }: ModelContentProps): JSX.Element {
  const { name } = shown
  const rollout = now.rollouts.find((each) => each.name === name)
  return (
    <>
      <div class="model-head">
        <div class="row">
          <VersionStatus state={shown.status} />
          {shown.isDefault && versions.length > 1 && <span class="version-tag">default</span>}
          <VersionLinks versions={versions} shown={shown} />
        </div>
        <ModelActions key={shown.version} version={shown} versions={versions} />
      </div>
      <FailedLoads failed={now.failed.filter(({ modelName }) => modelName === name)} />
      <Failure version={shown} now={now} />
      {rollout !== undefined && <RolloutCard key={`rollout ${name}`} rollout={rollout} />}
      {isLive && <VersionFigures version={shown} />}
      {isLive && <LiveCharts key={`charts ${shown.version}`} track={trackOf(shown)} />}
      <Card title="Workers" isFlush>
        <WorkersTable version={shown} now={now.time} />
      </Card>
      <ModelDescription key={`description ${shown.version}`} version={shown} all={now.versions} />
      <ModelLog now={now} name={name} />
    </>
  )
}

function VersionLinks({
  versions,
  shown,
}: {
  versions: readonly Version[]
  shown: Version
}): JSX.Element | null {
  if (versions.length < 2) return <span class="dim">Version {shown.version}</span>
  return (
    <nav aria-label="Versions" class="row">
      {versions.map(({ name, version }) => (
        <a
          key={version}
          class="version-link"
          href={modelAddress(name, version)}
          aria-current={version === shown.version ? 'page' : undefined}
        >
          {version}
        </a>
      ))}
    </nav>
  )
}

/** Why a model has too few workers, with what its workers wrote. */
function Failure({ version, now }: { version: Version; now: Live }): JSX.Element | null {
  const reason = lastFailureOf(version)
  if (reason === undefined || version.status === 'READY') return null
  const lines = workerErrors(now.log, version.name)
  return (
    <Notice tone="bad">
      <p>The last worker failed: {reason}</p>
      {lines.length > 0 && <LogLines label="Last log lines of the worker" lines={lines} />}
    </Notice>
  )
}

function VersionFigures({ version }: { version: Version }): JSX.Element {
  const { rates, last } = trackOf(version)
  const { statuses, rejections, restarts, batches } = version
  const serverErrors = statuses['5xx'] ?? 0
  const meanBatch = batches === undefined ? undefined : batches.requests / batches.count
  return (
    <Tiles>
      <Tile
        label="Requests per second"
        value={formatDecimal(rates.requests)}
        note={`${formatCount(requestsOf(version))} in total`}
      />
      <Tile
        label="Time at a worker"
        value={formatMilliseconds(last?.p50)}
        note={`p99 ${formatMilliseconds(last?.p99)} · last 10 s`}
      />
      <Tile
        label="Server errors"
        value={formatCount(serverErrors)}
        note={`client errors ${formatCount(statuses['4xx'])}`}
        tone={(rates.serverErrors ?? 0) > 0 ? 'bad' : undefined}
      />
      <Tile
        label="Waiting requests"
        value={formatCount(version.queued)}
        note={`${formatCount(version.running)} at workers · ${formatCount(sumOfCounts(rejections))} rejected`}
      />
      <Tile
        label="Workers"
        value={`${formatCount(version.readyWorkers)} of ${formatCount(version.minWorkers)}`}
        note={formatAmount(sumOfCounts(restarts), 'restart')}
        tone={
          version.readyWorkers < version.minWorkers && !version.loadsOnDemand
            ? 'warning'
            : undefined
        }
      />
      <Tile
        label="Memory"
        value={formatBytes(memoryOf(version))}
        note={meanBatch === undefined ? NONE : `mean batch ${formatDecimal(meanBatch)}`}
      />
    </Tiles>
  )
}

function ModelLog({ now, name }: { now: Live; name: string }): JSX.Element {
  const entries = now.log
    .filter((entry) => entry['model'] === name && isAtLeast(entry, 'info'))
    .slice(-MOST_LINES)
    .toReversed()
  return (
    <Card title="Log of this model" isFlush>
      {entries.length === 0 ? (
        <p class="card-body dim">No recent lines.</p>
      ) : (
        <LogList entries={entries} label={`Log lines of ${name}, newest first`} />
      )}
    </Card>
  )
}
