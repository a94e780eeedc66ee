import type { IncomingMessage } from 'node:http'
import { ServerError } from '../errors.ts'

/** A request of more pieces is an attack: each costs hundreds of bytes of memory (as in Triton since 2025). */
const MAX_CHUNKS = 65_536
const FIRST_SLAB_BYTES = 64 * 1024

/** What a body may be at most. */
export interface BodyLimits {
  readonly maxBytes: number
}

/**
 * Reads a request body into one buffer: exactly sized when the length is declared, a growing slab
 * otherwise. Fastify's own reader keeps every chunk as an object and joins them at the end, which a
 * client of one-byte chunks turns into gigabytes.
 * @throws ServerError `PayloadTooLargeException` beyond the limit, `BadRequestException` when the client stops halfway.
 */
export function readBody(stream: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const declared = Number(stream.headers['content-length'] ?? Number.NaN)
  return new Promise((resolve, reject) => {
    if (declared > limits.maxBytes) {
      reject(tooLarge(limits))
      return
    }
    let slab: Buffer = Buffer.allocUnsafeSlow(Number.isNaN(declared) ? 0 : declared)
    let length = 0
    let chunks = 0
    const stop = (error: Error): void => {
      stream.off('data', onData)
      // What still comes is thrown away; the answer closes the connection.
      stream.resume()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      chunks += 1
      if (length + chunk.length > limits.maxBytes) {
        stop(tooLarge(limits))
      } else if (chunks > MAX_CHUNKS) {
        stop(new ServerError('PayloadTooLargeException', `The request body comes in more than ${MAX_CHUNKS} pieces.`, { statusCode: 400 }))
      } else {
        slab = withRoom(slab, length, chunk.length, limits.maxBytes)
        length += chunk.copy(slab, length)
      }
    }
    stream.on('data', onData)
    stream.once('end', () => resolve(length === slab.length ? slab : slab.subarray(0, length)))
    stream.once('error', (cause) => reject(incomplete(cause)))
    stream.once('close', () => {
      if (!stream.readableEnded) reject(incomplete())
    })
  })
}

function withRoom(slab: Buffer, used: number, more: number, maxBytes: number): Buffer {
  if (used + more <= slab.length) return slab
  const size = Math.max(used + more, Math.min(maxBytes, Math.max(FIRST_SLAB_BYTES, slab.length * 2)))
  const larger = Buffer.allocUnsafeSlow(size)
  slab.copy(larger, 0, 0, used)
  return larger
}

function tooLarge({ maxBytes }: BodyLimits): ServerError {
  return new ServerError('PayloadTooLargeException', `The request body is larger than ${maxBytes} bytes.`)
}

function incomplete(cause?: Error): ServerError {
  return new ServerError('BadRequestException', 'The request body is incomplete.', { cause })
}
