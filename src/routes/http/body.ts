import type { IncomingMessage } from 'node:http'
import { largeBuffers } from '../../buffer-pool.ts'
import { ServerError } from '../../errors.ts'

/**
 * More pieces than this that are smaller than that are an attack: each costs a turn of the parser (as
 * in Triton since 2025). Larger pieces are what a slow network makes of a large body.
 */
const MAX_SMALL_PIECES = 65_536
const SMALL_PIECE_BYTES = 512
/** Reserved for a declared length before anything of it has come, at most. */
const FIRST_SLAB_BYTES = 1024 * 1024

/** So many times what has come is reserved of what the client has announced. */
const GROWTH = 8

const EMPTY = Buffer.alloc(0)

/** What a body may be at most. */
export interface BodyLimits {
  readonly maxBytes: number
  /** Called before more memory is taken. What it throws rejects the body. */
  readonly hold?: (bytes: number) => void
}

/** Counts the pieces of a body that are small. */
class SmallPieces {
  #count = 0

  /** @throws ServerError `PayloadTooLargeException` with status 400 when there are too many. */
  add({ length }: Buffer): void {
    if (length >= SMALL_PIECE_BYTES || ++this.#count <= MAX_SMALL_PIECES) return
    const text = `The request body comes in more than ${MAX_SMALL_PIECES} pieces.`
    throw new ServerError('PayloadTooLargeException', text, { statusCode: 400 })
  }
}

/**
 * Joins the pieces of a body, or of one part of a form after the other, in memory proportional to what
 * has come. Keeping the pieces and joining them at the end, as Fastify's own reader does, is what a
 * client of one-byte chunks turns into gigabytes.
 */
export class BodyCollector {
  readonly #maxBytes: number
  readonly #expectedBytes: number
  readonly #hold: (bytes: number) => void
  #slab: Buffer = EMPTY
  #length = 0
  #totalBytes = 0
  readonly #smallPieces = new SmallPieces()

  /** @param expectedBytes What the client says that will come. */
  constructor({ maxBytes, hold = () => {} }: BodyLimits, expectedBytes = 0) {
    this.#maxBytes = maxBytes
    this.#hold = hold
    this.#expectedBytes = Math.min(expectedBytes, maxBytes)
  }

  /** @throws ServerError `PayloadTooLargeException` when it is too much, or comes in too many small pieces (400). */
  add(piece: Buffer): void {
    this.#totalBytes += piece.length
    if (this.#totalBytes > this.#maxBytes) throw tooLarge(this.#maxBytes)
    this.#smallPieces.add(piece)
    // Most bodies come in one piece, which is used as it is.
    if (this.#length === 0) this.#start(piece)
    else this.#append(piece)
    this.#length += piece.length
  }

  /** Returns what was collected and starts anew; the limits go on over all of it. */
  take(): Buffer {
    const isFull = this.#length === this.#slab.length
    const body = isFull ? this.#slab : this.#slab.subarray(0, this.#length)
    this.#slab = EMPTY
    this.#length = 0
    return body
  }

  /** Lets go of what was collected. */
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
      // What has come vouches for a multiple of it.
      const guess = Math.min(this.#expectedBytes, Math.max(FIRST_SLAB_BYTES, needed * GROWTH))
      const grown = Math.min(this.#maxBytes, this.#length * 2)
      const size = Math.max(needed, guess, grown)
      this.#hold(size - this.#slab.length)
      const larger = largeBuffers.take(size)
      this.#slab.copy(larger, 0, 0, this.#length)
      largeBuffers.give(this.#slab)
      this.#slab = larger
    }
    piece.copy(this.#slab, this.#length)
  }
}

/**
 * Reads a request body into one buffer.
 * @throws ServerError `PayloadTooLargeException` beyond the limit, `BadRequestException` when the client stops halfway.
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
        // What still comes is thrown away; the answer closes the connection.
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
 * Counts all bytes of a body that another reader reads. The parser of forms reads past what stands
 * before the first and behind the last boundary without any limit.
 * @param onBytes Called with the bytes so far, and with those that the client has announced or 0.
 * @returns A promise that only rejects: as {@link readBody} does.
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
 * The length that the client has announced, 0 when it has not.
 * @throws ServerError `PayloadTooLargeException` beyond the limit, before anything is read.
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
