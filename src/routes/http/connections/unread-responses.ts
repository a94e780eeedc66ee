/** Responses that their clients do not read: each would stay in memory for as long as its client likes. */
import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'

/** What a client had yet to take, and since when it is so much. */
interface Progress {
  readonly bytes: number
  readonly since: number
}

/** Cuts off connections whose client takes nothing of a response for some time. */
export class UnreadResponses {
  readonly #timeoutMs: number
  readonly #log: FastifyBaseLogger
  readonly #progress = new WeakMap<Socket, Progress>()

  constructor(timeoutMs: number, log: FastifyBaseLogger) {
    this.#timeoutMs = timeoutMs
    this.#log = log
  }

  /** To be called again and again, a few times within the timeout. */
  check(sockets: Iterable<Socket>): void {
    const now = performance.now()
    for (const socket of sockets) {
      const bytes = unsentBytes(socket)
      if (bytes === 0) continue
      const before = this.#progress.get(socket)
      if (before?.bytes !== bytes) this.#progress.set(socket, { bytes, since: now })
      else if (now - before.since >= this.#timeoutMs) {
        this.#log.warn({ bytes }, 'a response was cut off: its client does not read it')
        socket.destroy()
      }
    }
  }
}

/**
 * Bytes that the kernel has not taken yet. `writableLength` counts a write until all of it is done, which
 * shows no progress, so the handle is asked, as Node does for its own timeouts.
 */
function unsentBytes(socket: Socket): number {
  if (socket.writableLength === 0) return 0
  const handle: unknown = Reflect.get(socket, '_handle')
  const hasQueue = typeof handle === 'object' && handle !== null && 'writeQueueSize' in handle
  const queued = hasQueue ? Number(handle.writeQueueSize) : 0
  return queued > 0 ? queued : socket.writableLength
}
