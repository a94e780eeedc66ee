/**
 * Disconnects clients that do not read their responses, because such a response stays in memory.
 */
import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'

/** The number of unsent bytes, and the time since which it has not changed. */
interface Progress {
  readonly bytes: number
  readonly since: number
}

/** Closes a connection if its client reads nothing of a response for some time. */
export class UnreadResponses {
  readonly #timeoutMs: number
  readonly #log: FastifyBaseLogger
  readonly #progress = new WeakMap<Socket, Progress>()

  constructor(timeoutMs: number, log: FastifyBaseLogger) {
    this.#timeoutMs = timeoutMs
    this.#log = log
  }

  /** Checks the connections. Call it several times within each timeout. */
  check(sockets: Iterable<Socket>): void {
    const now = performance.now()
    for (const socket of sockets) {
      const bytes = unsentBytes(socket)
      if (bytes === 0) continue
      const before = this.#progress.get(socket)
      if (before?.bytes !== bytes) this.#progress.set(socket, { bytes, since: now })
      else if (now - before.since >= this.#timeoutMs) {
        this.#log.warn(
          { bytes },
          'a connection was closed because the client did not read the response',
        )
        socket.destroy()
      }
    }
  }
}

/**
 * Bytes that the kernel has not accepted yet. `writableLength` counts a write until it is complete,
 * so it shows no progress. The handle does, and Node's own timeouts use it too.
 */
function unsentBytes(socket: Socket): number {
  if (socket.writableLength === 0) return 0
  const handle: unknown = Reflect.get(socket, '_handle')
  const hasQueue = typeof handle === 'object' && handle !== null && 'writeQueueSize' in handle
  const queued = hasQueue ? Number(handle.writeQueueSize) : 0
  return queued > 0 ? queued : socket.writableLength
}
