/** Splits the bytes of a call into messages: each has a prefix of five bytes. */
import { createGunzip, createInflate } from 'node:zlib'
import { largeBuffers } from '../../../buffer-pool.ts'
import { ServerError } from '../../../errors.ts'
import { BodyCollector } from '../../http/body.ts'
import { unimplemented } from './status.ts'

const PREFIX_BYTES = 5
const COMPRESSED = 1

/** One message as it arrived. */
export interface ReceivedMessage {
  readonly bytes: Buffer
  readonly isCompressed: boolean
}

export interface MessageLimits {
  /** Maximum size of a message, before and after decompression. */
  readonly maxBytes: number
  /** Called before more memory is allocated. If it throws, the message is rejected. */
  readonly hold: (bytes: number) => void
}

/** Collects messages. Its memory is proportional to the received bytes. */
export class MessageStream {
  readonly #limits: MessageLimits
  readonly #prefix = Buffer.allocUnsafe(PREFIX_BYTES)
  #prefixLength = 0
  #collector: BodyCollector | undefined
  #missing = 0
  /** When the message began that is not complete; on the clock of `performance.now()`. */
  #begunAt: number | undefined

  constructor(limits: MessageLimits) {
    this.#limits = limits
  }

  /** When the message began that is not complete; `undefined` between two messages. */
  get begunAt(): number | undefined {
    return this.#begunAt
  }

  /**
   * Adds received bytes.
   * @param onMessage Called with each message that is complete.
   * @throws ServerError 413 for a message that is too large, and the error of `hold`.
   */
  add(piece: Buffer, onMessage: (message: ReceivedMessage) => void): void {
    let at = 0
    while (at < piece.length) {
      this.#begunAt ??= performance.now()
      if (this.#prefixLength < PREFIX_BYTES) {
        const copied = piece.copy(this.#prefix, this.#prefixLength, at)
        this.#prefixLength += copied
        at += copied
        if (this.#prefixLength < PREFIX_BYTES) return
        this.#begin()
      }
      const end = Math.min(piece.length, at + this.#missing)
      if (end > at) this.#collector?.add(piece.subarray(at, end))
      this.#missing -= end - at
      at = end
      if (this.#missing === 0) this.#finish(onMessage)
    }
  }

  /** Releases the memory of a message that is not complete. */
  drop(): void {
    this.#collector?.drop()
    this.#collector = undefined
  }

  #begin(): void {
    const { maxBytes, hold } = this.#limits
    const length = this.#prefix.readUInt32BE(1)
    const [flags = 0] = this.#prefix
    if (flags > COMPRESSED) {
      const text = `The first byte of a message is ${flags}; expected 0, or 1 for a compressed one.`
      throw new ServerError('InvalidInputException', text)
    }
    if (length > maxBytes) throw tooLarge(`The request message has ${length} bytes`, maxBytes)
    this.#missing = length
    this.#collector = new BodyCollector({ maxBytes: length, hold }, length)
  }

  #finish(onMessage: (message: ReceivedMessage) => void): void {
    const bytes = this.#collector?.take() ?? Buffer.alloc(0)
    this.#collector = undefined
    this.#prefixLength = 0
    this.#begunAt = undefined
    onMessage({ bytes, isCompressed: this.#prefix[0] === COMPRESSED })
  }
}

/**
 * Decompresses a message in a thread of Node.
 * @param coding The header `grpc-encoding` of the call.
 * @throws ServerError 501 for an unknown coding, 413 if the result is too large, 400 for damaged
 * data, and the error of `hold`.
 */
export async function decompress(
  { bytes, isCompressed }: ReceivedMessage,
  coding: string,
  { maxBytes, hold }: MessageLimits,
): Promise<Buffer> {
  if (!isCompressed || coding === 'identity') return bytes
  if (coding !== 'gzip' && coding !== 'deflate') {
    const shown = JSON.stringify(coding.slice(0, 100))
    throw unimplemented(`Message encoding ${shown} is not supported; send gzip, deflate or none.`)
  }
  const collector = new BodyCollector({ maxBytes, hold })
  const unpack = coding === 'gzip' ? createGunzip() : createInflate()
  try {
    unpack.end(bytes)
    for await (const piece of unpack) collector.add(piece as Buffer)
    return collector.take()
  } catch (cause) {
    collector.drop()
    unpack.destroy()
    if (cause instanceof ServerError && cause.statusCode === 413)
      throw tooLarge('The decompressed request message is larger', maxBytes)
    if (cause instanceof ServerError) throw cause
    const text = `The message is not valid ${coding} data, but its grpc-encoding is ${coding}.`
    throw new ServerError('InvalidInputException', text, { cause })
  } finally {
    largeBuffers.give(bytes)
  }
}

function tooLarge(start: string, maxBytes: number): ServerError {
  const text = `${start}; the limit is ${maxBytes} bytes (maxBodyBytes).`
  return new ServerError('PayloadTooLargeException', text)
}
