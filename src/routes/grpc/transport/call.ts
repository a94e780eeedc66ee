/** One call: its messages, its response, and what the server knows about it. */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { constants } from 'node:http2'
import { ServerError } from '../../../errors.ts'
import type { Caller } from '../../http/access/caller.ts'
import type { ByteBudget } from '../../http/byte-budget.ts'
import type { RequestTimes } from '../../inference/request-times.ts'
import type { RequestTrace } from '../../tracing/tracing.ts'
import type { CallEnd, StreamedRequest } from './call-end.ts'
import { MessageStream, decompress } from './message-stream.ts'
import type { ReceivedMessage } from './message-stream.ts'
import { requestIdOf } from './metadata.ts'
import { CallResponse } from './response.ts'
import type { OnSent } from './response.ts'
import {
  OK_TRAILERS,
  asServerError,
  codeFor,
  errorTrailers,
  tooLate,
  wrongCount,
} from './status.ts'
import type { Code } from './status.ts'

const { NGHTTP2_CANCEL } = constants
const CLIENT_LEFT = 499

/** Limits of a call, and what all calls share. */
export interface CallOptions {
  readonly budget: ByteBudget
  readonly maxMessageBytes: number
}

export class Call {
  readonly id: string
  readonly path: string
  readonly method = 'POST'
  readonly headers: IncomingHttpHeaders
  readonly stream: ServerHttp2Stream
  /** When its headers arrived, on the clock of `performance.now()`. */
  readonly receivedAt = performance.now()
  /** When the last bytes arrived. */
  heardAt = this.receivedAt
  /** Its path, if the server has that method. */
  route: string | undefined
  times: RequestTimes | undefined
  trace: RequestTrace | undefined
  /** Since when the server waits for the end of the request; `undefined` if it does not wait. */
  awaitsSince: number | undefined
  /** Its deadline, on the clock of `performance.now()`; `undefined` without one. */
  deadline: number | undefined
  /** The error that ended it; absent for other calls. */
  error: ServerError | undefined
  /** Absent if calls need no token. */
  caller: Caller | undefined
  /** The IP address of the client. */
  ip = ''
  bytesIn = 0
  bytesOut = 0
  /** Called when the client has left or the call has failed. It may be called again. */
  onLeave: (() => void) | undefined
  /** Called with each request of a stream that has its response. */
  onRecord: ((request: StreamedRequest) => void) | undefined
  /** Called when the listener stops; absent for calls that end by themselves. */
  onDrain: (() => void) | undefined
  readonly #options: CallOptions
  readonly #messages: MessageStream
  readonly #response: CallResponse
  #held = 0
  #end: CallEnd | undefined

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: CallOptions) {
    this.stream = stream
    this.headers = headers
    this.path = headers[':path'] ?? ''
    this.id = requestIdOf(headers)
    this.#options = options
    this.#response = new CallResponse(stream, this.id)
    this.#messages = new MessageStream({
      maxBytes: options.maxMessageBytes,
      hold: (bytes) => this.hold(bytes),
    })
    // 'close' follows.
    stream.on('error', () => {})
    stream.once('close', () => this.#leave())
  }

  /** How the call ended; `undefined` while it runs. */
  get end(): CallEnd | undefined {
    return this.#end
  }

  /** When the message began that is not complete; `undefined` between two messages. */
  get messageBegunAt(): number | undefined {
    return this.#messages.begunAt
  }

  /** For its trace. */
  get url(): string {
    return this.path
  }

  get routeOptions(): { readonly url: string | undefined } {
    return { url: this.route }
  }

  get errorType(): string | undefined {
    return this.#end?.errorType
  }

  get grpcCode(): Code | undefined {
    return this.#end?.code
  }

  /**
   * Reads the messages of the client.
   * @param onMessage Called with each message, decompressed.
   * @param onEnd Called when the client sends no more.
   */
  read(onMessage: (message: Buffer) => void, onEnd: () => void): void {
    const { stream } = this
    let decompressing = Promise.resolve()
    const take = (message: ReceivedMessage): void => {
      this.bytesIn += message.bytes.length
      if (!message.isCompressed) return onMessage(message.bytes)
      decompressing = decompressing
        .then(() => this.#decompress(message))
        .then(onMessage)
        .catch((error: unknown) => this.fail(error))
    }
    stream.on('data', (piece: Buffer) => {
      this.heardAt = performance.now()
      if (this.#end !== undefined) return
      try {
        this.#messages.add(piece, take)
      } catch (error) {
        this.fail(error)
      }
    })
    stream.once('end', () => {
      this.awaitsSince = undefined
      // Node ends a stream that the client has reset as well; 'close' follows.
      if (stream.aborted || stream.rstCode !== 0) return
      void decompressing.then(onEnd)
    })
  }

  /** Reads the only message of the client. */
  readOne(onMessage: (message: Buffer) => void): void {
    const messages: Buffer[] = []
    this.awaitsSince = this.receivedAt
    this.read(
      (message) => messages.push(message),
      () => {
        const [message, second] = messages
        if (this.#end !== undefined) return
        if (message !== undefined && second === undefined) return onMessage(message)
        const isCut = this.#messages.begunAt !== undefined
        this.fail(wrongCount(message === undefined ? 'no message' : 'several messages', isCut))
      },
    )
  }

  /**
   * Counts bytes that are held for the call until it ends.
   * @throws ServerError `ServiceUnavailableException` if the server holds too many bytes,
   * `ClientClosedRequestException` if the call has ended, because nobody would release them.
   */
  hold(bytes: number): void {
    if (this.#end !== undefined)
      throw new ServerError('ClientClosedRequestException', 'The call has ended.')
    this.#options.budget.hold(bytes, this.#held)
    this.#held += bytes
  }

  /** Stops counting bytes before the end of the call; all of them by default. */
  release(bytes = this.#held): void {
    const released = Math.min(bytes, this.#held)
    this.#options.budget.release(released)
    this.#held -= released
  }

  /** As {@link CallResponse.send}. */
  send(message: Uint8Array, lead?: Uint8Array, onSent?: OnSent): void {
    if (this.#end !== undefined) return onSent?.(false)
    this.bytesOut += message.length
    this.#response.send(message, lead, onSent)
  }

  /** Ends the call with status OK. */
  succeed(): void {
    if (this.#end !== undefined) return
    this.#end = { status: 200, code: 'OK', errorType: undefined }
    this.#response.end(OK_TRAILERS)
  }

  /** Sends the only message and ends the call with status OK. */
  respond(message: Uint8Array, onSent?: OnSent): void {
    this.send(message, undefined, onSent)
    this.succeed()
  }

  /** The error of a call whose deadline has passed. */
  late(): ServerError {
    return tooLate((this.deadline ?? this.receivedAt) - this.receivedAt)
  }

  /** Ends the call with an error. */
  fail(thrown: unknown): void {
    if (this.#end !== undefined) return
    const error = asServerError(thrown)
    const { statusCode: status, type: errorType } = error
    const code = codeFor(status)
    this.#end = { status, code, errorType }
    this.error = error
    this.#messages.drop()
    this.onLeave?.()
    this.#response.refuse(errorTrailers(code, error))
  }

  /** As {@link CallResponse.isStalled}. */
  isStalled(now: number, ms: number): boolean {
    return this.#response.isStalled(now, ms)
  }

  /** Ends the call without a response, because the client does not take it. */
  abort(): void {
    this.stream.close(NGHTTP2_CANCEL)
  }

  #decompress(message: ReceivedMessage): Promise<Buffer> {
    const coding = String(this.headers['grpc-encoding'] ?? 'identity')
    const { maxMessageBytes: maxBytes } = this.#options
    return decompress(message, coding, { maxBytes, hold: (bytes) => this.hold(bytes) })
  }

  #leave(): void {
    this.#messages.drop()
    if (this.#end === undefined) {
      const type = 'ClientClosedRequestException'
      this.#end = { status: CLIENT_LEFT, code: 'CANCELLED', errorType: type }
    }
    this.onLeave?.()
    this.release()
  }
}
