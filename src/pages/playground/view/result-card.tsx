import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { ApiError } from '../../shared/api-error.ts'
import { Empty, ErrorNotice } from '../../shared/components/notice.tsx'
import { Status } from '../../shared/components/status.tsx'
import { formatBytes, formatMilliseconds } from '../../shared/format.ts'
import type { ModelDescription } from '../model/description.ts'
import { remedyOf } from '../result/remedies.ts'
import type { ResultView } from '../result/result-view.ts'
import { viewsOf } from '../result/views.ts'
import type { Outcome } from '../send.ts'
import { Bars } from './bars.tsx'
import { DetectionPicture, MaskPicture } from './picture/picture.tsx'
import { RawResponse } from './raw-response.tsx'
import { ResultTable } from './result-table.tsx'
import { SpanText } from './span-text.tsx'
import { TimeBar } from './time-bar.tsx'
import { Vector } from './vector.tsx'

interface ResultCardProps {
  readonly outcome: Outcome | undefined
  readonly isSending: boolean
  readonly description: ModelDescription
}

/** The response of the last request. */
export function ResultCard({ outcome, isSending, description }: ResultCardProps): JSX.Element {
  return (
    <section class="card result" aria-labelledby="result-title" aria-busy={isSending}>
      <div class="card-head">
        <h2 id="result-title">Response</h2>
        <span class="push row" role="status">
          <Summary outcome={outcome} />
        </span>
      </div>
      <div class={isSending ? 'card-body stack is-old' : 'card-body stack'}>
        {outcome === undefined && (
          <Empty title="No response yet">
            <p>Send the request to see what the model responds.</p>
          </Empty>
        )}
        {outcome?.kind === 'error' && <Failure error={outcome.error} />}
        {outcome?.kind === 'response' && <Response outcome={outcome} description={description} />}
      </div>
    </section>
  )
}

function Summary({ outcome }: { outcome: Outcome | undefined }): JSX.Element | null {
  if (outcome === undefined) return null
  if (outcome.kind === 'error') {
    const { error } = outcome
    const status = error instanceof ApiError && error.status > 0 ? error.status : undefined
    return <Status tone="bad">{status ?? 'No response'}</Status>
  }
  return (
    <>
      <span class="dim small">
        {formatBytes(outcome.content.size)} in {formatMilliseconds(outcome.time.totalMs)}
      </span>
      <Status tone="good">{outcome.status}</Status>
    </>
  )
}

function Failure({ error }: { error: unknown }): JSX.Element {
  const remedy = error instanceof ApiError ? remedyOf(error.status, error.type) : undefined
  return (
    <>
      <ErrorNotice error={error} />
      {remedy !== undefined && <p>{remedy}</p>}
    </>
  )
}

interface ResponseProps {
  readonly outcome: Extract<Outcome, { kind: 'response' }>
  readonly description: ModelDescription
}

function Response({ outcome, description }: ResponseProps): JSX.Element {
  const { text, request } = outcome
  const views = useMemo(() => {
    if (text === undefined) return []
    const { body } = request
    return viewsOf(text, description, body.kind === 'json' ? jsonOf(body.text) : undefined)
  }, [outcome])
  return (
    <>
      {views.map((view, index) => (
        <View key={index} view={view} file={outcome.file} />
      ))}
      {views.length === 0 && <RawResponse outcome={outcome} isOpen />}
      <TimeBar time={outcome.time} />
      {views.length > 0 && <RawResponse outcome={outcome} isOpen={false} />}
    </>
  )
}

function View({ view, file }: { view: ResultView; file: File | undefined }): JSX.Element {
  switch (view.kind) {
    case 'bars':
      return <Bars {...view} />
    case 'table':
      return <ResultTable {...view} />
    case 'vector':
      return <Vector title={view.title} values={view.values} />
    case 'spans':
      return <SpanText text={view.text} spans={view.spans} />
    case 'detections':
      return <DetectionPicture items={view.items} file={file} />
    case 'mask':
      return <MaskPicture view={view} file={file} />
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
