/** The response side of a call: headers, messages with their prefix, trailers. */
import type { ServerHttp2Stream } from 'node:http2'
import { constants } from 'node:http2'

const { NGHTTP2_NO_ERROR } = constants
const CONTENT_TYPE = 'application/grpc'
/** A shorter message is copied behind its prefix, which is cheaper than a second piece. */
const COPIED_BYTES = 16 * 1024
const PREFIX_BYTES = 5
const NO_BYTES = new Uint8Array(0)

/** Headers behind the last message. */
export type Trailers = Readonly<Record<string, string>>
/**
 * Called when the connection has taken a message, or will not take it. Only if `isSent` is true,
 * nobody reads the memory of the message any more.
 */
export type OnSent = (isSent: boolean) => void

export class CallResponse {
  readonly #stream: ServerHttp2Stream
  readonly #id: string
  #hasHeaders = false
  #trailers: Trailers | undefined
  #unsent = { bytes: 0, since: performance.now() }

  constructor(stream: ServerHttp2Stream, id: string) {
    this.#stream = stream
    this.#id = id
  }

  /**
   * Sends a message.
   * @param lead Bytes of the message before `message`.
   */
  send(message: Uint8Array, lead: Uint8Array = NO_BYTES, onSent: OnSent = () => {}): void {
    const stream = this.#stream
    if (this.#isGone || this.#trailers !== undefined) return onSent(false)
    this.#begin()
    const prefix = prefixOf(message.length, lead)
    const done = (error?: Error | null): void => onSent(error === undefined || error === null)
    if (message.length <= COPIED_BYTES) {
      stream.write(Buffer.concat([prefix, message]), done)
      return
    }
    // The two pieces become one write.
    stream.cork()
    stream.write(prefix)
    stream.write(message, done)
    stream.uncork()
  }

  /** Ends the response after the messages that were sent. */
  end(trailers: Trailers): void {
    if (this.#trailers !== undefined) return
    this.#trailers = trailers
    if (this.#isGone) return
    this.#begin()
    this.#stream.end()
  }

  /** Ends the response because of an error. What still comes of the request is dropped. */
  refuse(trailers: Trailers): void {
    const stream = this.#stream
    stream.resume()
    if (this.#hasHeaders) return this.end(trailers)
    if (this.#isGone || this.#trailers !== undefined) return
    this.#trailers = trailers
    stream.respond({ ...this.#head(), ...trailers }, { endStream: true })
    // A reset in the same turn would overtake the headers, on some versions of Node.
    setImmediate(() => {
      if (!this.#isGone && !stream.readableEnded) stream.close(NGHTTP2_NO_ERROR)
    })
  }

  /** Whether the client has taken nothing for `ms` milliseconds, although there is something. */
  isStalled(now: number, ms: number): boolean {
    const { bufferSize } = this.#stream
    const isWaiting = bufferSize > 0 || this.#trailers !== undefined
    if (!isWaiting || bufferSize !== this.#unsent.bytes)
      this.#unsent = { bytes: bufferSize, since: now }
    return isWaiting && now - this.#unsent.since >= ms
  }

  /** Whether the client has reset the stream, which may be destroyed much later. */
  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }

  /** Sends the headers of the response, if they are not sent yet. */
  #begin(): void {
    if (this.#hasHeaders) return
    this.#hasHeaders = true
    const stream = this.#stream
    stream.respond(this.#head(), { waitForTrailers: true })
    stream.once('wantTrailers', () => stream.sendTrailers(this.#trailers ?? {}))
  }

  #head(): Record<string, string | number> {
    return {
      ':status': 200,
      'content-type': CONTENT_TYPE,
      'grpc-accept-encoding': 'identity,deflate,gzip',
      'x-request-id': this.#id,
    }
  }
}

/** The five bytes before a message, and the first bytes of the message itself. */
function prefixOf(length: number, lead: Uint8Array): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES + lead.length)
  prefix[0] = 0
  prefix.writeUInt32BE(length + lead.length, 1)
  prefix.set(lead, PREFIX_BYTES)
  return prefix
}
