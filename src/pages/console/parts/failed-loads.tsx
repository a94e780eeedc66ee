import type { JSX } from 'preact'
import { CopyButton } from '../../shared/components/copy-button.tsx'
import { LogLines } from '../../shared/components/notice.tsx'
import { Status } from '../../shared/components/status.tsx'
import { formatDateTime } from '../../shared/format.ts'
import type { FailedLoad } from '../logic/live.ts'
import { nameOfFailed } from '../logic/version-facts.ts'
import { Card } from './card.tsx'

/** Models that could not be loaded, each with the reason and the worker's last log lines. */
export function FailedLoads({ failed }: { failed: readonly FailedLoad[] }): JSX.Element | null {
  if (failed.length === 0) return null
  return (
    <Card title="Could not be loaded" isFlush>
      <ul class="failed-list">
        {failed.map((failure) => (
          <li key={`${failure.modelUrl} ${failure.failedAt}`}>
            <FailedEntry failure={failure} />
          </li>
        ))}
      </ul>
    </Card>
  )
}

function FailedEntry({ failure }: { failure: FailedLoad }): JSX.Element {
  const { modelVersion, modelUrl, reason, log = [], failedAt } = failure
  const name = nameOfFailed(failure)
  return (
    <>
      <div class="row">
        <strong class="breakable">{name}</strong>
        {modelVersion !== undefined && <span class="dim">{modelVersion}</span>}
        <Status tone="bad">Failed</Status>
        <time class="dim small push" dateTime={failedAt}>
          {formatDateTime(failedAt)}
        </time>
      </div>
      <p class="breakable">{reason}</p>
      {name !== modelUrl && <p class="dim small breakable">{modelUrl}</p>}
      {log.length > 0 && (
        <details open>
          <summary>Last log lines of the worker</summary>
          <LogLines label={`Last log lines of ${name}`} lines={log} />
          <CopyButton label="Copy these lines" text={[reason, ...log].join('\n')} />
        </details>
      )}
    </>
  )
}
