/** Sends a request to a model and measures it. */
import { requestHeaders, requestPath } from './request/request.ts'
import type { ModelRequest } from './request/request.ts'
import { requestTime } from './result/server-timing.ts'
import type { RequestTime } from './result/server-timing.ts'
import { api } from './state.ts'

/** What came back. */
export type Outcome =
  | {
      readonly kind: 'response'
      readonly status: number
      readonly type: string
      readonly content: Blob
      /** The content as text; `undefined` for other types, such as images. */
      readonly text: string | undefined
      readonly time: RequestTime
      readonly request: ModelRequest
      /** The file that was sent. */
      readonly file: File | undefined
    }
  | { readonly kind: 'error'; readonly error: unknown }

/** @returns `undefined` if the request was cancelled. */
export async function sendRequest(
  request: ModelRequest,
  file: File | undefined,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const { body } = request
  const sent = body.kind === 'file' ? file : undefined
  const content = body.kind === 'file' ? sent : body.text
  const startedAt = performance.now()
  try {
    const response = await api.send(requestPath(request), {
      method: 'POST',
      headers: Object.fromEntries(requestHeaders(request)),
      ...(content !== undefined && { body: content }),
      signal,
    })
    const blob = await response.blob()
    const totalMs = performance.now() - startedAt
    const type = response.headers.get('content-type') ?? ''
    return {
      kind: 'response',
      status: response.status,
      type,
      content: blob,
      text: await textOf(blob, type),
      time: requestTime(response.headers.get('server-timing'), totalMs),
      request,
      file: sent,
    }
  } catch (error) {
    return signal.aborted ? undefined : { kind: 'error', error }
  }
}

/** Custom handlers do not always name the type of their texts. */
async function textOf(content: Blob, type: string): Promise<string | undefined> {
  if (/^(?:text\/|application\/(?:.+\+)?json|application\/x-ndjson)/.test(type))
    return content.text()
  if (type !== '' && !type.startsWith('application/octet-stream')) return undefined
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await content.arrayBuffer())
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}
