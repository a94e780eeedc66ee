/** Sends requests to the server of the page, with the token that the operator entered. */
import { signal } from '@preact/signals'
import type { ReadonlySignal } from '@preact/signals'
import { ApiError, errorOf, unreachable } from './api-error.ts'

/** A request; the default method is GET. */
export interface ApiRequest {
  readonly method?: string
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** Sent as JSON. */
  readonly json?: unknown
  readonly body?: BodyInit
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** Called while a body is sent. */
export type OnProgress = (sentBytes: number, totalBytes: number) => void

/**
 * The API of the server. The token is in memory and in `sessionStorage`, which ends with the tab.
 * It is never part of a URL. There is no cookie, so no other page can use it.
 */
export class ApiClient {
  readonly #storageKey: string
  readonly #token = signal('')
  readonly #isRejected = signal(false)

  constructor(storageKey: string) {
    this.#storageKey = storageKey
    this.#token.value = sessionStorage.getItem(storageKey) ?? ''
  }

  /** Whether the server rejected the last request because of its token, or because it had none. */
  get isRejected(): ReadonlySignal<boolean> {
    return this.#isRejected
  }

  /** Whether a token is used. */
  get hasToken(): boolean {
    return this.#token.value !== ''
  }

  /** Uses a token from now on. An empty token is none. */
  useToken(token: string): void {
    this.#token.value = token
    this.#isRejected.value = false
    if (token === '') sessionStorage.removeItem(this.#storageKey)
    else sessionStorage.setItem(this.#storageKey, token)
  }

  /**
   * Sends a request to a path relative to the page, such as `models/iris`.
   * @throws ApiError for a status of 400 or more, and if there is no response.
   */
  async send(path: string, request: ApiRequest = {}): Promise<Response> {
    const { method = 'GET', query, json, body, headers = {}, signal: stop } = request
    const isJson = json !== undefined
    const sent: RequestInit = {
      method,
      headers: {
        ...this.#authorization(),
        ...(isJson && { 'content-type': 'application/json' }),
        ...headers,
      },
      cache: 'no-store',
      credentials: 'omit',
      ...(isJson ? { body: JSON.stringify(json) } : body !== undefined && { body }),
      ...(stop !== undefined && { signal: stop }),
    }
    let response: Response
    try {
      response = await fetch(urlOf(path, query), sent)
    } catch (error) {
      if (stop?.aborted === true) throw error
      throw unreachable()
    }
    this.#isRejected.value = response.status === 401
    if (response.ok) return response
    throw errorOf(response.status, await response.text())
  }

  /** As {@link send}; returns the JSON body of the response. */
  async json(path: string, request: ApiRequest = {}): Promise<unknown> {
    const response = await this.send(path, request)
    return (await response.json()) as unknown
  }

  /**
   * Sends a form with a file and reports the progress, which `fetch` cannot do.
   * @throws ApiError as {@link send}.
   */
  upload(
    path: string,
    form: FormData,
    onProgress: OnProgress,
    stop?: AbortSignal,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      request.open('POST', urlOf(path))
      for (const [name, value] of Object.entries(this.#authorization()))
        request.setRequestHeader(name, value)
      request.upload.addEventListener('progress', ({ loaded, total }) => onProgress(loaded, total))
      request.addEventListener('load', () => {
        const { status, responseText } = request
        this.#isRejected.value = status === 401
        if (status < 400) resolve(responseText === '' ? {} : JSON.parse(responseText))
        else reject(errorOf(status, responseText))
      })
      request.addEventListener('error', () => reject(unreachable()))
      request.addEventListener('abort', () => reject(new ApiError(0, 'The upload was cancelled.')))
      stop?.addEventListener('abort', () => request.abort(), { once: true })
      request.send(form)
    })
  }

  #authorization(): Record<string, string> {
    return this.#token.value === '' ? {} : { authorization: `Bearer ${this.#token.value}` }
  }
}

/** Joins parts of a path; each part is encoded: `pathOf('models', name)`. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map(encodeURIComponent).join('/')
}

function urlOf(path: string, query: ApiRequest['query'] = {}): string {
  const url = new URL(path, document.baseURI)
  url.hash = ''
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, String(value))
  return url.href
}
