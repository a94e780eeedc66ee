import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { RequestCard } from './form/request-card.tsx'
import type { ModelDescription } from './model/description.ts'
import { bodyOf, newDraft } from './model/draft.ts'
import type { Draft } from './model/draft.ts'
import type { ModelRequest, RequestBody } from './request/request.ts'
import { sendRequest } from './send.ts'
import type { Outcome } from './send.ts'
import { api, serverUrl } from './state.ts'
import { CodeCard } from './view/code-card.tsx'
import { ResultCard } from './view/result-card.tsx'

/** The request, its response, and the request as code. */
export function Workbench({ description }: { description: ModelDescription }): JSX.Element {
  const [draft, setDraft] = useState<Draft<File>>(() => newDraft(description))
  const [outcome, setOutcome] = useState<Outcome>()
  const [stop, setStop] = useState<AbortController>()
  const running = useRef<AbortController>(undefined)
  useEffect(() => () => running.current?.abort(), [])

  const body = bodyOf(draft, description)
  const isComplete = body !== undefined && (draft.mode !== 'file' || draft.file !== undefined)
  const requestOf = (own: RequestBody): ModelRequest => ({
    server: serverUrl(),
    model: description.name,
    version: description.version,
    body: own,
    hasToken: api.hasToken,
  })
  const send = async (): Promise<void> => {
    if (!isComplete || stop !== undefined) return
    const controller = new AbortController()
    running.current = controller
    setStop(controller)
    const result = await sendRequest(requestOf(body), draft.file, controller.signal)
    setStop(undefined)
    if (result !== undefined) setOutcome(result)
  }

  return (
    <div class="bench">
      <RequestCard
        description={description}
        draft={draft}
        onDraft={setDraft}
        canSend={isComplete}
        isSending={stop !== undefined}
        onSend={() => void send()}
        onCancel={() => stop?.abort()}
      />
      <ResultCard outcome={outcome} isSending={stop !== undefined} description={description} />
      <CodeCard
        request={body === undefined ? undefined : requestOf(body)}
        description={description}
      />
    </div>
  )
}
