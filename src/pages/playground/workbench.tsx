import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { RequestCard } from './form/request-card.tsx'
import type { ModelDescription } from './model/description.ts'
import { bodyOf, modesOf, newDraft } from './model/draft.ts'
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
  const bench = useRef<HTMLDivElement>(null)
  useEffect(() => () => running.current?.abort(), [])
  useFiles((file) => {
    if (modesOf(description.form).includes('file')) setDraft({ ...draft, mode: 'file', file })
  })
  useEffect(() => {
    if (outcome !== undefined) showResult(bench.current)
  }, [outcome])

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
    <div class="bench" ref={bench}>
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

/** Takes files that are dropped anywhere or pasted. Else the browser would open them. */
function useFiles(onFile: (file: File) => void): void {
  const latest = useRef(onFile)
  latest.current = onFile
  useEffect(() => {
    const stop = new AbortController()
    const { signal } = stop
    const take = (event: Event, files: FileList | undefined): void => {
      const [file] = files ?? []
      if (file === undefined || event.defaultPrevented) return
      event.preventDefault()
      latest.current(file)
    }
    addEventListener('dragover', (event) => event.preventDefault(), { signal })
    addEventListener('drop', (event) => take(event, event.dataTransfer?.files), { signal })
    addEventListener('paste', (event) => take(event, event.clipboardData?.files), { signal })
    return () => stop.abort()
  }, [])
}

/** On a small screen the response is below the form. */
function showResult(bench: HTMLElement | null): void {
  const card = bench?.querySelector('.result')
  if (card === null || card === undefined) return
  const { top } = card.getBoundingClientRect()
  if (top > innerHeight / 2) card.scrollIntoView({ behavior: 'smooth' })
}
