import type { JSX } from 'preact'
import { ProgressBar } from '../../shared/components/progress-bar.tsx'
import { Status } from '../../shared/components/status.tsx'
import { formatAge, formatBytes } from '../../shared/format.ts'
import type { Live } from '../logic/live.ts'
import { Card } from './card.tsx'

/** Loads, uploads and downloads that are running. */
export function RunningWork({ now }: { now: Live }): JSX.Element | null {
  const { loading, transfers, time } = now
  if (loading.length + transfers.length === 0) return null
  return (
    <Card title="In progress" isFlush>
      <ul class="work-list">
        {transfers.map(({ kind, fileName, modelUrl, bytes, totalBytes, startedAt }) => (
          <li key={`${kind} ${startedAt} ${fileName ?? modelUrl ?? ''}`}>
            <div class="row">
              <Status tone="info">{kind === 'upload' ? 'Upload' : 'Download'}</Status>
              <span class="breakable">{fileName ?? modelUrl ?? 'A model'}</span>
              <span class="dim small push">
                {formatBytes(bytes)}
                {totalBytes !== undefined && ` of ${formatBytes(totalBytes)}`}
              </span>
            </div>
            {totalBytes !== undefined && (
              <ProgressBar label="Received bytes" share={bytes / totalBytes} />
            )}
          </li>
        ))}
        {loading.map(({ modelName, modelVersion, startedAt }) => (
          <li key={`${modelName} ${modelVersion ?? ''}`}>
            <div class="row">
              <Status tone="info">Loading</Status>
              <span class="breakable">{modelName}</span>
              <span class="dim">{modelVersion}</span>
              {startedAt !== undefined && (
                <span class="dim small push">for {formatAge(time - Date.parse(startedAt))}</span>
              )}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  )
}
