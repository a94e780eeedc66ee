/** Sends requests of commands to the management listener of a running server. */
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ConfigError, linesBeyond, messageOf } from '../../errors.ts'
import { memberOf } from '../json.ts'
import type { CommandInput } from '../program/outcome.ts'
import { textFlag } from '../program/outcome.ts'

/** Maximum size of a response. A description of a model has some kilobytes. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024
const DEFAULT_URL = 'http://127.0.0.1:8081'
/** A question is answered at once. A change may take as long as a model loads. */
const ANSWER_MS = 30_000

/** A body with its headers. */
export interface RequestBody {
  readonly headers: Readonly<Record<string, string | number>>
  readonly stream: Readable
}

/** The server responded with an error. */
export class ResponseError extends Error {
  readonly status: number
  readonly type: string | undefined

  constructor(status: number, body: unknown) {
    super(errorText(status, body))
    this.status = status
    const type = memberOf(body, 'type')
    this.type = typeof type === 'string' ? type : undefined
  }
}

/** The management listener of one server. */
export class ServerClient {
  readonly url: URL
  readonly #token: string | undefined
  readonly #signal: AbortSignal
  readonly #answerMs: number

  /** @param answerMs How long a question may take. */
  constructor(input: CommandInput, answerMs = ANSWER_MS) {
    this.#answerMs = answerMs
    const { environment, signal } = input
    this.url = parseUrl(textFlag(input, 'url') ?? environment.ONNXD_URL ?? DEFAULT_URL)
    this.#token = environment.ONNXD_MANAGEMENT_TOKEN?.trim()
    this.#signal = signal
  }

  /**
   * Sends a request and returns the JSON of its response.
   * @throws ResponseError; Error with one sentence if no server responds.
   */
  async call(method: string, route: string, body?: RequestBody): Promise<unknown> {
    const { status, text } = await (method === 'GET'
      ? this.#ask(route)
      : this.#read(method, route, this.#signal, body))
    const content = parse(text)
    if (status >= 200 && status < 300) return content
    if (status !== 401) throw new ResponseError(status, content)
    const hint =
      this.#token === undefined
        ? 'Set ONNXD_MANAGEMENT_TOKEN to the token of the server.'
        : 'The token in ONNXD_MANAGEMENT_TOKEN is not the token of this server.'
    throw new Error(`${this.url.origin} requires a token. ${hint}`)
  }

  /** @throws Error if the response is not complete in time. */
  async #ask(route: string): Promise<{ status: number; text: string }> {
    const late = AbortSignal.timeout(this.#answerMs)
    try {
      return await this.#read('GET', route, AbortSignal.any([this.#signal, late]))
    } catch (cause) {
      if (!late.aborted || this.#signal.aborted) throw cause
      const problem = `${this.url.origin} did not respond within ${this.#answerMs / 1000} seconds. Check --url.`
      throw new Error(problem, { cause })
    }
  }

  async #read(
    method: string,
    route: string,
    signal: AbortSignal,
    body?: RequestBody,
  ): Promise<{ status: number; text: string }> {
    const response = await this.#send(method, route, signal, body)
    return { status: response.statusCode ?? 0, text: await readText(response) }
  }

  async #send(
    method: string,
    route: string,
    signal: AbortSignal,
    body?: RequestBody,
  ): Promise<IncomingMessage> {
    const send = this.url.protocol === 'https:' ? httpsRequest : httpRequest
    const base = this.url.href.replace(/\/$/, '')
    const authorization =
      this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
    const request = send(`${base}${route}`, {
      method,
      headers: { ...authorization, ...body?.headers },
      signal,
    })
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve)
      request.once('error', (cause) => reject(connectionError(cause, this.url)))
    })
    if (body === undefined) request.end()
    // The server may reject a body before it has read all of it. Its response says why.
    else pipeline(body.stream, request).catch((cause: unknown) => request.destroy(asError(cause)))
    return response
  }
}

/** @throws ConfigError */
export function parseUrl(text: string): URL {
  const isUrl = /^https?:\/\//i.test(text) && URL.canParse(text)
  if (isUrl) return new URL(text)
  const guess = `http://${text}`
  if (/^[\w.-]+(?::\d+)?$/.test(text) && URL.canParse(guess)) return new URL(guess)
  throw new ConfigError(
    `${JSON.stringify(text)} is not the URL of a server, such as ${DEFAULT_URL}.`,
  )
}

/** Returns a sentence about a server that does not respond. */
export function connectionError(cause: unknown, { origin }: URL): Error {
  const code = memberOf(cause, 'code')
  if (code === 'ECONNREFUSED') {
    const hint = 'Start one with onnxd serve, or name another with --url.'
    return new Error(`No server responds at ${origin}. ${hint}`, { cause })
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new Error(`The host name of ${origin} is unknown.`, { cause })
  if (code === 'EPROTO')
    return new Error(`${origin} does not speak TLS. Write http:// in place of https://.`, { cause })
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return new Error(`The server at ${origin} closed the connection.`, { cause })
  return new Error(`The request to ${origin} failed: ${messageOf(cause)}`, { cause })
}

function errorText(status: number, body: unknown): string {
  const message = memberOf(body, 'message') ?? memberOf(body, 'error')
  if (typeof message !== 'string') return `The server responded with ${status}.`
  const log = memberOf(body, 'log')
  const lines = linesBeyond(message, Array.isArray(log) ? log.map(String) : [])
  return [message, ...lines].join('\n  ')
}

/** Reads a body. Another server, such as one of files, may send any number of bytes. */
async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    // Leaving the loop destroys the response.
    if (length > MAX_RESPONSE_BYTES) throw notOnnxd()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw notOnnxd()
  }
}

/** The error for a response that onnxd does not send. */
export function notOnnxd(): Error {
  return new Error('The response is not from the management listener of onnxd. Check --url.')
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(messageOf(cause))
}
