/** Requests at a steady pace, each with a result of its own, while something goes wrong. */
import http from 'node:http'

/** One request, and whether a response is the right one. */
export interface Wish {
  readonly body: string
  isRight(status: number, text: string): boolean
}

export interface LoadOptions {
  readonly url: string
  /** Milliseconds from one request to the next, whether it was answered or not. */
  readonly everyMs: number
  /** The request of a number: results that are mixed up are seen. */
  readonly wish: (number: number) => Wish
}

/** A load that goes on until it is stopped. */
export class SteadyLoad {
  /** Milliseconds that each response took. */
  times: number[] = []
  /** What was lost or wrong: status and text, or the error of the connection. */
  readonly problems: string[] = []
  #sent = 0
  readonly #options: LoadOptions
  readonly #agent = new http.Agent({ keepAlive: true })
  readonly #running = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout

  constructor(options: LoadOptions) {
    this.#options = options
    const from = performance.now()
    this.#timer = setInterval(() => {
      // A timer that comes late makes up for it.
      const due = (performance.now() - from) / options.everyMs
      while (this.#sent < due) this.#send()
    }, options.everyMs)
  }

  get sent(): number {
    return this.#sent
  }

  /** Sends nothing more, and waits for all responses. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#running)
    this.#agent.destroy()
  }

  #send(): void {
    const wish = this.#options.wish(this.#sent++)
    const from = performance.now()
    const running = post(this.#options.url, this.#agent, wish.body)
      .then(([status, text]) => {
        this.times.push(performance.now() - from)
        if (!wish.isRight(status, text)) this.problems.push(`${status} ${text} for ${wish.body}`)
      })
      .catch((error: unknown) => void this.problems.push(`${String(error)} for ${wish.body}`))
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }
}

/** Posts JSON and reads the response. */
export function post(
  url: string,
  agent: http.Agent,
  body: string,
  contentType = 'application/json',
): Promise<[status: number, text: string]> {
  const headers = { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', agent, headers }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => resolve([response.statusCode ?? 0, Buffer.concat(parts).toString()]))
    })
    request.on('error', reject)
    request.end(body)
  })
}
