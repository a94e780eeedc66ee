import type { FastifyReply } from 'fastify'

/**
 * Calls `onLeave` once if the connection ends before the answer was sent, at once if it has ended
 * already. Fastify's own `request.signal` fires right after a body was read (5.12.8), so the response
 * is watched instead.
 */
export function whenClientLeaves(reply: FastifyReply, onLeave: () => void): void {
  const { raw } = reply
  if (raw.destroyed) {
    onLeave()
    return
  }
  raw.once('close', () => {
    if (!raw.writableEnded) onLeave()
  })
}
