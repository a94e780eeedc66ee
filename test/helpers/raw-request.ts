/** Sends HTTP requests exactly as written and returns responses unchanged. */
import http from 'node:http'

/** A request. `headers` alternates names and values, so that a name can be repeated. */
export interface RawRequest {
  readonly method?: string
  readonly path: string
  readonly headers?: readonly string[]
  readonly body?: string | Buffer
  /** Sends the body in chunks, without its length. */
  readonly isChunked?: boolean
}

/** A response. */
export interface RawAnswer {
  readonly status: number
  readonly phrase: string
  /** Values by lower-case name. Values of a repeated header are joined. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

const TIMEOUT_MS = 20_000

/** Sends a request on its own connection. */
export function sendRaw(origin: string, request: RawRequest): Promise<RawAnswer> {
  const { method = 'POST', path, headers = [], body, isChunked = false } = request
  const { hostname, port } = new URL(origin)
  const length =
    body === undefined || isChunked ? [] : ['content-length', `${Buffer.byteLength(body)}`]
  const framing = isChunked ? ['transfer-encoding', 'chunked'] : length
  // Most clients keep the connection open; here the agent closes it after the response.
  const agent = new http.Agent({ keepAlive: true })
  return new Promise<RawAnswer>((resolve, reject) => {
    const sent = http.request(
      { hostname, port, method, path, agent, timeout: TIMEOUT_MS },
      (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => {
          resolve({
            status: answer.statusCode ?? 0,
            phrase: answer.statusMessage ?? '',
            headers: Object.fromEntries(
              Object.entries(answer.headers).map(([name, value]) => [name, String(value)]),
            ),
            body: Buffer.concat(parts),
          })
        })
      },
    )
    // Headers with the same name are set together, because setting them one by one would merge
    // them.
    const pairs = [...headers, ...framing]
    const names = new Set(
      pairs.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()),
    )
    for (const name of names) {
      const values = pairs.filter(
        (_, index) => index % 2 === 1 && pairs[index - 1]?.toLowerCase() === name,
      )
      const spelled = pairs.find((each, index) => index % 2 === 0 && each.toLowerCase() === name)
      sent.setHeader(spelled ?? name, values.length === 1 ? (values[0] ?? '') : values)
    }
    sent.on('error', reject)
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)))
    if (isChunked && body !== undefined) {
      const bytes = Buffer.from(body)
      sent.write(bytes.subarray(0, bytes.length / 2))
      sent.end(bytes.subarray(bytes.length / 2))
    } else {
      sent.end(body)
    }
  }).finally(() => agent.destroy())
}
