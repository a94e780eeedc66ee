import type { IncomingMessage } from 'node:http'
import multipart from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { capacityFor, largeBuffers } from '../../buffer-pool.ts'
import { ServerError } from '../../errors.ts'
import type { App, RouteContext } from '../route-context.ts'

/**
 * A body may have at most this many pieces smaller than `SMALL_PIECE_BYTES`. Each piece costs a
 * call of the parser, so more of them are an attack (Triton has a limit since 2025). Larger pieces
 * do not count: a slow network splits a large body into many.
 */
const MAX_SMALL_PIECES = 65_536
const SMALL_PIECE_BYTES = 512
/** Maximum number of bytes to reserve for a declared length before any byte has arrived. */
const FIRST_SLAB_BYTES = 1024 * 1024

/**
 * The buffer may grow to this many times the received bytes, up to the length that the client
 * declared.
 */
const GROWTH = 8

const EMPTY = Buffer.alloc(0)

/** Limits of a body. */
export interface BodyLimits {
  readonly maxBytes: number
  /** Called before more memory is allocated. If it throws, the body is rejected with that error. */
  readonly hold?: (bytes: number) => void
}

/** Reads every body into one buffer. The routes that accept multipart forms parse the buffer. */
export async function readBodies(app: App, { config }: RouteContext): Promise<void> {
  const { maxBodyBytes, maxJsonBytes } = config
  await app.register(multipart)
  const read = (
    request: FastifyRequest,
    payload: IncomingMessage,
    done: (error: null, body: Buffer) => void,
  ): Promise<Buffer> | undefined => {
    const isJson = /^application\/(.+\+)?json\b/i.test(request.headers['content-type'] ?? '')
    const limits = {
      maxBytes: isJson ? Math.min(maxJsonBytes, maxBodyBytes) : maxBodyBytes,
      hold: (bytes: number) => app.openRequests.hold(request, bytes),
    }
    const isRead = readArrivedBody(payload, limits, (body) => done(null, body))
    return isRead ? undefined : readBody(payload, limits)
  }
  // Fastify remembers the parser of a content type, but not if it is the one for all types.
  app.addContentTypeParser('*', read)
  app.addContentTypeParser(/^./, read)
}

/** Counts the small pieces of a body. */
class SmallPieces {
  #count = 0

  /** @throws ServerError `PayloadTooLargeException` with status 400 for too many small pieces. */
  add({ length }: Buffer): void {
    if (length >= SMALL_PIECE_BYTES || ++this.#count <= MAX_SMALL_PIECES) return
    const text = `The request body arrived in more than ${MAX_SMALL_PIECES} chunks; send larger chunks.`
    throw new ServerError('PayloadTooLargeException', text, { statusCode: 400 })
  }
}

/**
 * Joins the pieces of a body, or of one part of a form after the other. Its memory is proportional
 * to the received bytes. Fastify's reader keeps all pieces and joins them at the end; with one-byte
 * chunks a client could make it use gigabytes.
 */
export class BodyCollector {
  readonly #maxBytes: number
  readonly #expectedBytes: number
  readonly #hold: (bytes: number) => void
  #slab: Buffer = EMPTY
  #length = 0
  #totalBytes = 0
  readonly #smallPieces = new SmallPieces()

  /** @param expectedBytes The length that the client declared, 0 if it declared none. */
  constructor({ maxBytes, hold = () => {} }: BodyLimits, expectedBytes = 0) {
    this.#maxBytes = maxBytes
    this.#hold = hold
    this.#expectedBytes = Math.min(expectedBytes, maxBytes)
  }

  /**
   * @throws ServerError `PayloadTooLargeException` if the body is too large (413) or has too many
   * small pieces (400).
   */
  add(piece: Buffer): void {
    this.#totalBytes += piece.length
    if (this.#totalBytes > this.#maxBytes) throw tooLarge(this.#maxBytes)
    this.#smallPieces.add(piece)
    // Most bodies have one piece, which is used without a copy.
    if (this.#length === 0) this.#start(piece)
    else this.#append(piece)
    this.#length += piece.length
  }

  /** Returns the collected bytes and starts an empty buffer. The limits still count all bytes. */
  take(): Buffer {
    const isFull = this.#length === this.#slab.length
    const body = isFull ? this.#slab : this.#slab.subarray(0, this.#length)
    this.#slab = EMPTY
    this.#length = 0
    return body
  }

  /** Drops the collected bytes and returns their buffer to the pool. */
  drop(): void {
    largeBuffers.give(this.#slab)
    this.#slab = EMPTY
    this.#length = 0
  }

  #start(piece: Buffer): void {
    this.#hold(piece.length)
    this.#slab = piece
  }

  #append(piece: Buffer): void {
    const needed = this.#length + piece.length
    if (needed > this.#slab.length) {
      // The declared length is trusted only up to a multiple of the received bytes.
      const guess = Math.min(this.#expectedBytes, Math.max(FIRST_SLAB_BYTES, needed * GROWTH))
      const grown = Math.min(this.#maxBytes, this.#length * 2)
      const size = Math.max(needed, guess, grown)
      this.#hold(capacityFor(size) - this.#slab.length)
      const larger = largeBuffers.take(size)
      this.#slab.copy(larger, 0, 0, this.#length)
      largeBuffers.give(this.#slab)
      this.#slab = larger
    }
    piece.copy(this.#slab, this.#length)
  }
}

/**
 * Whether the whole request has arrived. Node sets `complete` a moment after the last byte of a
 * body, when the handler of the request runs already.
 */
export function hasArrived({ complete, readableLength, headers }: IncomingMessage): boolean {
  return complete || (readableLength > 0 && readableLength === Number(headers['content-length']))
}

/**
 * Reads a body that arrived together with its head, as most small bodies do. This takes less time
 * than {@link readBody}.
 * @param onEnd Called when the request has ended.
 * @returns False if bytes are missing; then nothing was read.
 * @throws ServerError `PayloadTooLargeException` if the body exceeds the limit.
 */
export function readArrivedBody(
  stream: IncomingMessage,
  limits: BodyLimits,
  onEnd: (body: Buffer) => void,
): boolean {
  const length = declaredLength(stream, limits)
  if (length === 0 || stream.readableLength !== length) return false
  limits.hold?.(length)
  const body: unknown = stream.read()
  stream.on('end', () => onEnd(Buffer.isBuffer(body) ? body : EMPTY))
  stream.resume()
  return true
}

/**
 * Reads a request body into one buffer.
 * @throws ServerError `PayloadTooLargeException` if the body exceeds the limit,
 * `BadRequestException` if the client closes the connection before the end.
 */
export function readBody(stream: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const collector = new BodyCollector(limits, declaredLength(stream, limits))
    const onData = (piece: Buffer): void => {
      try {
        collector.add(piece)
      } catch (error) {
        stream.off('data', onData)
        collector.drop()
        // Drop the rest of the body. The connection is closed after the response.
        stream.resume()
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
    stream.on('data', onData)
    stream.once('end', () => resolve(collector.take()))
    stream.once('close', () => {
      if (stream.readableEnded) return
      collector.drop()
      reject(incomplete(stream.errored ?? undefined))
    })
  })
}

/**
 * Counts the bytes of a body that another reader reads. It limits what the form parser does not:
 * the bytes before the first and after the last boundary.
 * @param onBytes Called with the received bytes and the declared length (0 if the client declared
 * none).
 * @returns A promise that never resolves. It rejects with the `PayloadTooLargeException` of
 * {@link readBody}.
 */
export function watchBody(
  stream: IncomingMessage,
  { maxBytes }: BodyLimits,
  onBytes: (bytes: number, expectedBytes: number) => void = () => {},
): Promise<never> {
  return new Promise((_resolve, reject) => {
    const expectedBytes = declaredLength(stream, { maxBytes })
    const smallPieces = new SmallPieces()
    let bytes = 0
    const onData = (piece: Buffer): void => {
      bytes += piece.length
      onBytes(bytes, expectedBytes)
      try {
        if (bytes > maxBytes) throw tooLarge(maxBytes)
        smallPieces.add(piece)
      } catch (error) {
        stream.off('data', onData)
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
    stream.on('data', onData)
  })
}

/**
 * The length that the client declared, 0 if it declared none.
 * @throws ServerError `PayloadTooLargeException` if it exceeds the limit, before any byte is read.
 */
export function declaredLength({ headers }: IncomingMessage, { maxBytes }: BodyLimits): number {
  const declared = Number(headers['content-length'] ?? 0)
  if (declared > maxBytes) throw tooLarge(maxBytes)
  return declared
}

function tooLarge(maxBytes: number): ServerError {
  return new ServerError(
    'PayloadTooLargeException',
    `The request body is larger than ${maxBytes} bytes.`,
  )
}

function incomplete(cause?: Error): ServerError {
  return new ServerError('BadRequestException', 'The request body is incomplete.', { cause })
}
