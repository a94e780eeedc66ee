/**
 * An open loop: it sends requests at a fixed rate, whatever the responses are. If no connection is
 * free, a request is sent when the next one is. It uses bare sockets, because a client that needs a
 * whole core would measure itself.
 */
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const TICK_MS = 1

export interface OpenLoop {
  readonly url: string
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  /** Requests per second. */
  readonly rate: number
  readonly seconds: number
}

/** Result of an open loop. */
export interface OpenLoopResult {
  readonly sent: number
  readonly statuses: ReadonlyMap<number, number>
  /** Connections that failed. */
  readonly lost: number
  /** Latencies in milliseconds of the requests with status 200, in ascending order. */
  readonly goodMs: readonly number[]
}

/** Sends for `seconds`, then waits for the outstanding responses. */
export async function openLoop(options: OpenLoop): Promise<OpenLoopResult> {
  const { url, body, headers, rate, seconds, connections } = options
  const target = new URL(url)
  const lines = Object.entries({ host: target.host, ...headers, 'content-length': body.length })
  const head = `POST ${target.pathname} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  const request = Buffer.concat([Buffer.from(head, 'latin1'), body])
  const statuses = new Map<number, number>()
  const goodMs: number[] = []
  const idle: Client[] = []
  let due = 0
  let sent = 0
  let answered = 0
  let lost = 0
  const take = (client: Client): void => {
    if (due === sent) idle.push(client)
    else {
      sent += 1
      client.send(request)
    }
  }
  const clients = Array.from({ length: connections }, () => {
    const client = new Client(target, (status, ms) => {
      answered += 1
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status === 200) goodMs.push(ms)
      take(client)
    })
    client.socket.on('error', () => (lost += 1))
    return client
  })
  await Promise.all(clients.map(({ connected }) => connected))
  idle.push(...clients)
  const startedAt = performance.now()
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = (performance.now() - startedAt) / 1000
      due = Math.floor(Math.min(elapsed, seconds) * rate)
      while (sent < due && idle.length > 0) {
        const client = idle.pop()
        if (client !== undefined) take(client)
      }
      const isDone = elapsed >= seconds && answered >= sent && sent >= due
      if (isDone || elapsed > seconds + 5 || lost === connections) {
        clearInterval(timer)
        resolve()
      }
    }, TICK_MS)
  })
  for (const { socket } of clients) socket.destroy()
  return { sent, statuses, lost, goodMs: goodMs.toSorted((a, b) => a - b) }
}

/** One connection that sends one request at a time. */
class Client {
  readonly socket: Socket
  readonly connected: Promise<void>
  readonly #onAnswer: (status: number, ms: number) => void
  #sentAt = 0
  #received: Buffer = Buffer.alloc(0)

  constructor({ hostname, port }: URL, onAnswer: (status: number, ms: number) => void) {
    this.#onAnswer = onAnswer
    this.socket = createConnection({ host: hostname, port: Number(port), noDelay: true })
    this.connected = new Promise((resolve, reject) => {
      this.socket.once('connect', resolve)
      this.socket.once('error', reject)
    })
    this.socket.on('data', (chunk: Buffer) => this.#receive(chunk))
  }

  send(request: Buffer): void {
    this.#sentAt = performance.now()
    this.socket.write(request)
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const end = this.#received.indexOf(HEAD_END)
    if (end === -1) return
    const head = this.#received.toString('latin1', 0, end)
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
    if (this.#received.length < end + HEAD_END.length + length) return
    this.#received = Buffer.alloc(0)
    this.#onAnswer(Number(head.slice(9, 12)), performance.now() - this.#sentAt)
  }
}
