/** Sends requests to the inference listener of a server, over connections that stay open. */
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { connectionError } from '../server-client.ts'
import type { SendableRequest } from './rewrite.ts'

/** A server that sends nothing for this long has failed. */
const SILENT_MS = 300_000

/** A server that records must not record these requests: it would overwrite what they replay. */
const OWN_HEADERS = { 'onnxd-record': 'off' }

/** A response with its whole body. */
export interface SentResponse {
  readonly status: number
  readonly contentType: string
  /** Names and values. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/** Connections to one server. */
export class Sender {
  readonly #url: URL
  readonly #base: string
  readonly #agent: HttpAgent | HttpsAgent
  readonly #start: typeof httpRequest
  readonly #options: RequestOptions
  readonly #headers: Readonly<Record<string, string>>

  /** @param headers Headers of each request, such as those with a token. */
  constructor(url: URL, headers: Readonly<Record<string, string>>, maxConnections: number) {
    this.#url = url
    this.#base = url.pathname.replace(/\/$/, '')
    this.#headers = headers
    const isSecure = url.protocol === 'https:'
    const kept = { keepAlive: true, maxSockets: maxConnections }
    this.#agent = isSecure ? new HttpsAgent(kept) : new HttpAgent(kept)
    this.#start = isSecure ? httpsRequest : httpRequest
    const { protocol, port } = url
    const hostname = url.hostname.replaceAll(/^\[|\]$/g, '')
    this.#options = { protocol, hostname, port, agent: this.#agent, timeout: SILENT_MS }
  }

  /** @throws Error of the connection, with a `code`. */
  send({ method, path, headers, body }: SendableRequest): Promise<SentResponse> {
    return new Promise((resolve, reject) => {
      const request = this.#start({
        ...this.#options,
        path: `${this.#base}${path}`,
        method,
        headers: { ...headers, ...this.#headers, ...OWN_HEADERS, 'content-length': body.length },
      })
      request.once('timeout', () => request.destroy(new Error('The server does not respond.')))
      request.once('error', reject)
      request.once('response', (response) => {
        buffer(response).then((content) => resolve(asSent(response, content)), reject)
      })
      request.end(body)
    })
  }

  /** Whether a server responds at all. @throws Error with one sentence if none does. */
  async check(): Promise<void> {
    try {
      await this.send({ method: 'GET', path: '/v2', headers: {}, body: Buffer.alloc(0) })
    } catch (error) {
      throw connectionError(error, this.#url)
    }
  }

  close(): void {
    this.#agent.destroy()
  }
}

function asSent({ statusCode, headers, rawHeaders }: IncomingMessage, body: Buffer): SentResponse {
  const pairs: [string, string][] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    pairs.push([rawHeaders[index] ?? '', rawHeaders[index + 1] ?? ''])
  return {
    status: statusCode ?? 0,
    contentType: headers['content-type'] ?? '',
    headers: pairs,
    body,
  }
}
