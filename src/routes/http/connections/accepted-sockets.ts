import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'

/** Minimum time between two log lines about a full listener. */
const FULL_LOG_MS = 10_000

/** The TCP connections of a listener. With TLS, the handshake of some is not finished. */
export class AcceptedSockets {
  readonly #max: number
  readonly #log: FastifyBaseLogger
  readonly #sockets = new Set<Socket>()
  #fullLoggedAt = Number.NEGATIVE_INFINITY

  constructor(max: number, log: FastifyBaseLogger) {
    this.#max = max
    this.#log = log
  }

  get count(): number {
    return this.#sockets.size
  }

  /** Whether a new connection is accepted. One that is too many is closed. */
  accept(socket: Socket): boolean {
    if (this.#sockets.size >= this.#max) {
      socket.destroy()
      this.#logFull()
      return false
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    return true
  }

  destroy(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #logFull(): void {
    const now = performance.now()
    if (now - this.#fullLoggedAt < FULL_LOG_MS) return
    this.#fullLoggedAt = now
    this.#log.warn(
      { maxConnections: this.#max },
      'new connections are closed because the maximum number of connections is open',
    )
  }
}
