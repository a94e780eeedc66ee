import type { JSX } from 'preact'
import { Empty, Notice } from '../../shared/components/notice.tsx'
import { ProgressBar } from '../../shared/components/progress-bar.tsx'
import {
  formatAge,
  formatAmount,
  formatBytes,
  formatCount,
  formatDecimal,
  formatMilliseconds,
  formatPercent,
} from '../../shared/format.ts'
import type { Live } from '../logic/live.ts'
import { isProblem } from '../logic/log-line.ts'
import { viewAddress } from '../logic/route.ts'
import { hasProblem, memoryOf } from '../logic/version-facts.ts'
import { VersionsTable } from '../model-parts/versions-table.tsx'
import { totalTrack, trackOf } from '../page-state/live-data.ts'
import { Card } from '../parts/card.tsx'
import { LiveCharts } from '../parts/live-charts.tsx'
import { LogList } from '../parts/log-list.tsx'
import { RunningWork } from '../parts/running-work.tsx'
import { Tile, Tiles } from '../parts/tile.tsx'

const MOST_VERSIONS = 8
const MOST_PROBLEMS = 6

/** How the server is doing. */
export function Overview({ now }: { now: Live }): JSX.Element {
  const { versions, failed, log } = now
  const problems = log.filter(isProblem).slice(-MOST_PROBLEMS).toReversed()
  if (versions.length + failed.length + now.loading.length === 0) {
    return (
      <>
        <Figures now={now} />
        <section class="card">
          <Empty title="No model is registered.">
            <p>Upload a model file, or name one in the model store.</p>
            <a class="button primary" href={viewAddress('register')}>
              Register a model
            </a>
          </Empty>
        </section>
        <RunningWork now={now} />
      </>
    )
  }
  const rateOf = (version: Live['versions'][number]): number => trackOf(version).rates.requests ?? 0
  const busiest = versions
    .toSorted(
      (one, other) => rateOf(other) - rateOf(one) || other.lastRequestAt - one.lastRequestAt,
    )
    .slice(0, MOST_VERSIONS)
  return (
    <>
      <Attention now={now} />
      <Figures now={now} />
      <LiveCharts track={totalTrack()} />
      <RunningWork now={now} />
      {busiest.length > 0 && (
        <Card
          title={versions.length > MOST_VERSIONS ? 'Busiest models' : 'Models'}
          aside={
            <a href={viewAddress('models')}>
              {versions.length > MOST_VERSIONS
                ? `All ${formatCount(now.server.totalVersions)}`
                : 'Details'}
            </a>
          }
          isFlush
        >
          <VersionsTable versions={busiest} now={now.time} />
        </Card>
      )}
      <Card title="Recent problems" aside={<a href={viewAddress('log')}>Log</a>} isFlush>
        {problems.length === 0 ? (
          <p class="card-body dim">No warnings or errors in the recent log.</p>
        ) : (
          <LogList entries={problems} label="Recent problems, newest first" />
        )}
      </Card>
    </>
  )
}

/** Says what needs attention. */
function Attention({ now }: { now: Live }): JSX.Element | null {
  const { failed, versions, modelMemory } = now
  const broken = versions.filter(hasProblem)
  if (failed.length + broken.length === 0 && !modelMemory.isThrashing) return null
  return (
    <div class="stack">
      {failed.length > 0 && (
        <Notice tone="bad">
          {formatAmount(failed.length, 'model')} could not be loaded.{' '}
          <a href={viewAddress('models')}>Show why</a>
        </Notice>
      )}
      {broken.length > 0 && (
        <Notice tone="warning">
          {broken.length === 1
            ? `Model ${broken[0]?.name ?? ''} has fewer ready workers than it should have.`
            : `${formatAmount(broken.length, 'model')} have fewer ready workers than they should have.`}{' '}
          <a href={viewAddress('models')}>Show models</a>
        </Notice>
      )}
      {modelMemory.isThrashing && (
        <Notice tone="warning">
          Models are loaded again soon after they were unloaded, because the memory budget is too
          small. <a href={viewAddress('cache')}>Show the cache</a>
        </Notice>
      )}
    </div>
  )
}

function Figures({ now }: { now: Live }): JSX.Element {
  const { server, versions, process } = now
  const track = totalTrack()
  const { rates, last } = track
  const serving = versions.filter(({ status }) => status === 'READY').length
  const resting = versions.filter(({ status }) => status === 'UNLOADED').length
  const memory = process.residentBytes + versions.reduce((sum, each) => sum + memoryOf(each), 0)
  const share = memory / process.limitBytes
  const { requests = 0, serverErrors = 0, clientErrors = 0 } = rates
  const isDegraded = versions.some(hasProblem) || now.failed.length > 0
  return (
    <Tiles>
      <Tile
        label="Health"
        value={healthOf(now)}
        note={`${formatCount(serving)} of ${formatCount(versions.length - resting)} ready, up ${formatAge(now.time - Date.parse(server.startedAt))}`}
        tone={isDegraded ? 'warning' : undefined}
      />
      <Tile label="Requests per second" value={formatDecimal(rates.requests)} note="mean of 5 s" />
      <Tile
        label="Time at a worker"
        value={formatMilliseconds(last?.p50)}
        note={`p99 ${formatMilliseconds(last?.p99)} · last 10 s`}
      />
      <Tile
        label="Server errors"
        value={requests === 0 ? '0 %' : formatPercent(serverErrors / requests)}
        note={`client errors ${requests === 0 ? '0 %' : formatPercent(clientErrors / requests)}`}
        tone={serverErrors > 0 ? 'bad' : undefined}
      />
      <Tile
        label="Waiting requests"
        value={formatCount(last?.queued)}
        note={`${formatCount(last?.running)} at workers`}
      />
      <Tile
        label="Memory"
        value={formatBytes(memory)}
        note={
          <>
            <ProgressBar label="Share of the memory of this machine" share={share} />
            {`${formatPercent(share)} of ${formatBytes(process.limitBytes)}`}
          </>
        }
        tone={share > 0.9 ? 'warning' : undefined}
      />
    </Tiles>
  )
}

function healthOf({ server, versions, failed }: Live): string {
  if (server.state === 'STARTING') return 'Starting'
  if (server.state === 'STOPPING') return 'Stopping'
  return versions.some(hasProblem) || failed.length > 0 ? 'Degraded' : 'Healthy'
}
