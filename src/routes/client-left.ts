import type { FastifyReply } from 'fastify'

/**
 * Calls `onLeave` once if the connection ends before the answer was sent. Fastify's own
 * `request.signal` fires right after a body was read (5.12.8), so the response is watched instead.
 */
export function whenClientLeaves(reply: FastifyReply, onLeave: () => void): void {
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) onLeave()
  })
}
