import type { Duplex } from 'node:stream'
import { ProtocolError, ServerError, messageOf } from '../../../errors.ts'
import { RequestDecoder } from '../../wire/decode.ts'
import { encodeReply } from '../../wire/encode.ts'
import { DEFAULT_WIRE_LIMITS } from '../../wire/messages.ts'
import type { WireHeader, WireParameter, WirePrediction, WireRequest } from '../../wire/messages.ts'

/** Where a request comes from, for the calls that are made while it is served. */
export interface RequestOrigin {
  /** The models that called one another; the last one serves the request. */
  readonly chain: readonly string[]
  /** As in a job. */
  readonly deadline: number | undefined
  /** Aborted when nobody waits for the response any more; absent if that cannot happen. */
  readonly signal?: AbortSignal
}

/** A request to a worker whose code may call other models. */
export interface ServedRequest extends WireRequest {
  readonly origin?: RequestOrigin | undefined
}

/** A call that a handler makes to another model. */
export interface ModelCall {
  readonly model: string
  /** Empty if the call names none. */
  readonly version: string
  /** `v1` or `v2` for a body of that protocol; empty for one of `/predictions`. */
  readonly protocol: string
  readonly headers: readonly WireHeader[]
  readonly parameters: readonly WireParameter[]
  /** The request that the handler serves, and where it comes from. */
  readonly serves: WireRequest
  readonly origin: RequestOrigin
}

/** The response to a call. */
export interface CallResponse {
  readonly prediction: Omit<WirePrediction, 'id'>
  /** Call it when the prediction was sent. */
  readonly release: () => void
}

/**
 * Sends a call to its model.
 * @param signal Aborted when nobody waits for the response any more.
 * @throws ServerError as the response to a client.
 */
export type AnswerCall = (call: ModelCall, signal: AbortSignal) => Promise<CallResponse>

/** What answers the calls of one worker. */
export interface CallAnswers {
  readonly answer: AnswerCall
  /**
   * Returns the metadata of the pipeline that the worker serves; an empty body if `revision` is
   * that of the present metadata.
   * @throws ServerError if a step cannot be called.
   */
  readonly describe: (revision: string) => Promise<CallResponse>
  /** Maximum size of the body of a call. */
  readonly maxBytes: number
  /** Time for a request with all its calls, in milliseconds; absent: the worker has a limit. */
  readonly timeoutMs?: number | undefined
}

/** Value of `protocol` with which the worker of a pipeline asks for its metadata. */
const METADATA = 'metadata'
/** From this number of running calls on, no further calls are read from the worker. */
const MAX_CALLS = 64
/** The same for the bytes of their bodies. */
const MAX_BYTES = 64 * 1024 * 1024

/**
 * Carries the calls of one worker to other models, beside its socket. The worker has inherited the
 * other end, so nobody else can use it. Its messages are those of the worker protocol, in the other
 * direction. See `docs/worker-protocol.md`.
 */
export class CallChannel {
  readonly #socket: Duplex
  readonly #answers: CallAnswers
  readonly #decoder: RequestDecoder
  /** The requests at the worker, and when it got them. */
  readonly #served = new Map<string, { readonly request: ServedRequest; readonly since: number }>()
  readonly #closing = new AbortController()
  #calls = 0
  #bytes = 0

  constructor(socket: Duplex, answers: CallAnswers) {
    this.#socket = socket
    this.#answers = answers
    const limits = { ...DEFAULT_WIRE_LIMITS, maxValueBytes: answers.maxBytes }
    this.#decoder = new RequestDecoder({ limits })
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    // An error only means that the worker is gone.
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#closing.abort())
  }

  /** The worker gets these requests. */
  begin(requests: readonly ServedRequest[]): void {
    const since = performance.now()
    for (const request of requests) this.#served.set(request.id, { request, since })
  }

  /** The worker has responded to them. */
  finish(requests: readonly ServedRequest[]): void {
    for (const { id } of requests) this.#served.delete(id)
  }

  #receive(chunk: Buffer): void {
    try {
      for (const message of this.#decoder.push(chunk)) {
        if (message.command !== 'predict') throw new ProtocolError('it is not a call')
        for (const request of message.requests) void this.#call(request)
      }
    } catch {
      // The worker's calls fail, because their channel is closed. Its requests go on.
      this.#socket.destroy()
    }
  }

  /** Never rejects. */
  async #call(request: WireRequest): Promise<void> {
    const bytes = request.parameters.reduce((sum, { value }) => sum + value.length, 0)
    this.#count(1, bytes)
    let response: CallResponse
    try {
      response = await this.#respond(request)
    } catch (error) {
      response = { prediction: errorPrediction(error), release: () => {} }
    }
    this.#count(-1, -bytes)
    const { prediction, release } = response
    if (this.#socket.destroyed) return release()
    const frame = encodeReply({
      code: 200,
      message: '',
      predictions: [{ ...prediction, id: request.id }],
    })
    this.#socket.write(Buffer.concat(frame), release)
  }

  /** @throws ServerError also if the worker serves no such request. */
  async #respond({ headers, parameters }: WireRequest): Promise<CallResponse> {
    const [id = '', model = '', version = '', protocol = ''] = headers.map(([, value]) => value)
    const { answer, timeoutMs } = this.#answers
    if (protocol === METADATA) return this.#describe(version)
    const { request: serves, since = 0 } = this.#served.get(id) ?? {}
    if (serves?.origin === undefined) {
      const text = 'A handler can call other models only while it serves a request.'
      throw new ServerError('InternalServerException', text)
    }
    const { origin } = serves
    const call = { model, version, protocol, headers: headers.slice(4), parameters, serves, origin }
    // `AbortSignal.any` would keep memory for each call as long as the channel is open.
    const ending = new AbortController()
    const end = (): void => ending.abort()
    const sources = [this.#closing.signal, origin.signal]
    for (const source of sources) source?.addEventListener('abort', end)
    if (sources.some((source) => source?.aborted)) end()
    const timer = timeoutMs === undefined ? undefined : endAfter(timeoutMs, since, ending)
    try {
      return await answer(call, ending.signal)
    } catch (error) {
      throw ending.signal.reason instanceof ServerError ? ending.signal.reason : error
    } finally {
      clearTimeout(timer)
      for (const source of sources) source?.removeEventListener('abort', end)
    }
  }

  /** It waits for steps that load on demand, which may take longer than a request may. */
  async #describe(revision: string): Promise<CallResponse> {
    const { describe, timeoutMs } = this.#answers
    if (timeoutMs === undefined) return describe(revision)
    const ending = new AbortController()
    const timer = endAfter(timeoutMs, performance.now(), ending)
    const late = new Promise<never>((_resolve, reject) =>
      ending.signal.addEventListener('abort', () => reject(ending.signal.reason as ServerError)),
    )
    return Promise.race([describe(revision), late]).finally(() => clearTimeout(timer))
  }

  #count(calls: number, bytes: number): void {
    this.#calls += calls
    this.#bytes += bytes
    const isFull = this.#calls >= MAX_CALLS || this.#bytes > MAX_BYTES
    if (isFull !== this.#socket.isPaused()) this.#socket[isFull ? 'pause' : 'resume']()
  }
}

/** @param since When the request began, on the clock of `performance.now()`. */
function endAfter(timeoutMs: number, since: number, ending: AbortController): NodeJS.Timeout {
  const leftMs = Math.max(0, since + timeoutMs - performance.now())
  const text = `No response within ${timeoutMs / 1000} s, the responseTimeout of the pipeline.`
  const late = (): void => ending.abort(new ServerError('ResponseTimeoutException', text))
  return setTimeout(late, leftMs).unref()
}

function errorPrediction(thrown: unknown): Omit<WirePrediction, 'id'> {
  const error =
    thrown instanceof ServerError
      ? thrown
      : new ServerError('InternalServerException', messageOf(thrown))
  const { statusCode: status, retryAfterSeconds } = error
  const headers: WireHeader[] =
    retryAfterSeconds === undefined ? [] : [['Retry-After', String(retryAfterSeconds)]]
  const body = Buffer.from(JSON.stringify(error.toBody()))
  return { contentType: 'application/json', status, reason: '', headers, body }
}
