import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { pathOf } from '../../shared/api-client.ts'
import { Button } from '../../shared/components/button.tsx'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import { Confirm } from '../../shared/components/dialog.tsx'
import { ErrorNotice } from '../../shared/components/notice.tsx'
import { ProgressBar } from '../../shared/components/progress-bar.tsx'
import { Status } from '../../shared/components/status.tsx'
import { formatCount, formatPercent } from '../../shared/format.ts'
import type { Rollout, RolloutCounts, RolloutEvidence } from '../logic/live.ts'
import { client } from '../page-state/client.ts'
import { say } from '../page-state/message.ts'
import { Card } from '../parts/card.tsx'

const STATES = {
  running: ['Running', 'info'],
  paused: ['Paused', 'warning'],
  promoted: ['Promoted', 'good'],
  rolled_back: ['Rolled back', 'bad'],
  aborted: ['Aborted', 'neutral'],
} as const
const VERDICTS = {
  good: ['Within the limit', 'good'],
  bad: ['Above the limit', 'bad'],
  open: ['Not known yet', 'neutral'],
} as const
const CRITERIA = {
  errors: 'Failed requests more than before',
  latency: 'Slow requests',
  agreement: 'Responses that do not agree',
} as const
const COLUMNS: readonly Column<RolloutEvidence>[] = [
  { title: 'Criterion', cell: ({ criterion }) => CRITERIA[criterion] },
  { title: 'Requests', cell: ({ requests }) => formatCount(requests), isNumber: true },
  { title: 'At least', cell: ({ lower }) => formatPercent(Math.max(0, lower)), isNumber: true },
  { title: 'At most', cell: ({ upper }) => formatPercent(upper), isNumber: true },
  { title: 'Limit', cell: ({ limit }) => formatPercent(limit), isNumber: true },
  {
    title: 'Verdict',
    cell: ({ verdict }) => <Status tone={VERDICTS[verdict][1]}>{VERDICTS[verdict][0]}</Status>,
  },
]

/** The rollout of a model: its step, what was measured, and buttons that change it. */
export function RolloutCard({ rollout }: { rollout: Rollout }): JSX.Element {
  const { state, to, from, step, steps, share, evidence, reason, waiting_for: waiting } = rollout
  const [text, tone] = STATES[state]
  const isActive = state === 'running' || state === 'paused'
  return (
    <Card
      title={`Rollout of version ${to}`}
      aside={isActive && <RolloutActions rollout={rollout} />}
      isFlush
    >
      <div class="card-body stack">
        <div class="row">
          <Status tone={tone}>{text}</Status>
          {isActive && (
            <span class="dim">
              {`Step ${String(step)} of ${String(steps.length)} (${steps.join(', ')} %)`}
            </span>
          )}
        </div>
        <ProgressBar label={`Share of version ${to}`} share={share / 100} />
        <p>{`${String(share)} % of the requests go to version ${to}, the others to ${from.join(', ')}.`}</p>
        {isActive && (
          <p class="dim">
            {`${to}: ${countsText(rollout.next)} · ${from.join(', ')}: ${countsText(rollout.present)}`}
          </p>
        )}
        <p class="breakable">{waiting === undefined ? reason : `Waits: ${waiting}.`}</p>
      </div>
      {evidence !== undefined && evidence.length > 0 && (
        <DataTable
          caption={`Criteria of the rollout of version ${to}`}
          columns={COLUMNS}
          rows={evidence}
          keyOf={({ criterion }) => criterion}
        />
      )}
    </Card>
  )
}

function RolloutActions({ rollout: { name, state, to } }: { rollout: Rollout }): JSX.Element {
  const [isAsking, setIsAsking] = useState(false)
  const [isBusy, setIsBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const path = pathOf('models', name, 'rollout')
  const isPaused = state === 'paused'
  const run = (work: Promise<unknown>, done: string): void => {
    setIsBusy(true)
    setError(undefined)
    work
      .then(() => say(done), setError)
      .finally(() => {
        setIsBusy(false)
        setIsAsking(false)
      })
  }
  const pause = (): void =>
    run(
      client.json(path, { method: 'PUT', json: { paused: !isPaused } }),
      `The rollout of ${name} ${isPaused ? 'goes on' : 'is paused'}.`,
    )
  return (
    <>
      {error !== undefined && <ErrorNotice error={error} />}
      <Button isDisabled={isBusy} onClick={pause}>
        {isPaused ? 'Resume' : 'Pause'}
      </Button>
      <Button kind="danger" isDisabled={isBusy} onClick={() => setIsAsking(true)}>
        Abort…
      </Button>
      {isAsking && (
        <Confirm
          title={`Abort the rollout of ${name}?`}
          action="Abort"
          isBusy={isBusy}
          onConfirm={() =>
            run(client.json(path, { method: 'DELETE' }), `The rollout of ${name} was aborted.`)
          }
          onClose={() => setIsAsking(false)}
        >
          <p>{`Version ${to} gets no more requests, unless they name it.`}</p>
        </Confirm>
      )}
    </>
  )
}

function countsText(counts: RolloutCounts | undefined): string {
  if (counts === undefined) return 'no requests'
  return `${formatCount(counts.requests)} requests, ${formatCount(counts.errors)} failed`
}
