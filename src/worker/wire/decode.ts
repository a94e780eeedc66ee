/**
 * Decodes the worker protocol. Each generator below reads one message, with its fields in the order
 * of the protocol, and yields wherever a chunk ends.
 */
import { ProtocolError } from '../../errors.ts'
import { ByteSource } from './bytes.ts'
import type { ChunkOptions, Reading } from './bytes.ts'
import {
  COMMAND_CANCEL,
  COMMAND_LOAD,
  COMMAND_PREDICT,
  DEFAULT_WIRE_LIMITS,
  END_OF_LIST,
  NO_GPU,
} from './messages.ts'
import type {
  LoadRequest,
  PredictRequest,
  WireDialect,
  WireHeader,
  WireLimits,
  WireParameter,
  WirePrediction,
  WireRequest,
  WorkerReply,
  WorkerRequest,
} from './messages.ts'

/** Options of {@link RequestDecoder}. */
export interface RequestDecoderOptions {
  /** Layout of the load request. Default `mms`. */
  readonly dialect?: WireDialect
  readonly limits?: WireLimits
}

/** Options of {@link ReplyDecoder}. */
export interface ReplyDecoderOptions extends ChunkOptions {
  readonly limits?: WireLimits
}

/**
 * Common part of both decoders: takes chunks and returns messages. After the first protocol error
 * it fails forever.
 */
class StreamDecoder<Message> {
  readonly #source: ByteSource
  readonly #read: (source: ByteSource) => Reading<Message>
  /** Reader of the current message; `undefined` between two messages. */
  #reading: Reading<Message> | undefined
  #failure: ProtocolError | undefined

  constructor(source: ByteSource, read: (source: ByteSource) => Reading<Message>) {
    this.#source = source
    this.#read = read
  }

  /** Whether the stream is between two messages. False after a protocol error. */
  get isIdle(): boolean {
    return this.#reading === undefined && this.#failure === undefined
  }

  /**
   * Takes the next chunk of the stream, which may be split anywhere, and returns the messages that
   * it completes. A value that lies in one chunk is a view of its memory. The caller must not write
   * to that memory again unless `isReused` is set.
   * @throws ProtocolError on a protocol error, and again on every later call.
   */
  push(chunk: Buffer): Message[] {
    if (this.#failure !== undefined) throw this.#failure
    const messages: Message[] = []
    this.#source.feed(chunk)
    try {
      while (this.#source.remaining > 0) {
        this.#reading ??= this.#read(this.#source)
        const step = this.#reading.next()
        if (step.done !== true) break
        messages.push(step.value)
        this.#reading = undefined
      }
    } catch (error) {
      throw this.#fail(error)
    } finally {
      this.#source.release()
    }
    return messages
  }

  /**
   * Checks the end of the stream.
   * @throws ProtocolError when the stream ends inside a message, or after an earlier protocol
   * error.
   */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (!this.isIdle) throw this.#fail(new ProtocolError('the stream ends inside a message'))
  }

  /** Keeps the first error and frees the incomplete message. */
  #fail(error: unknown): ProtocolError {
    this.#reading = undefined
    this.#failure =
      error instanceof ProtocolError
        ? error
        : new ProtocolError('not enough memory for the message', { cause: error })
    return this.#failure
  }
}

/** Decodes the requests that a front-end sends to a worker. */
export class RequestDecoder extends StreamDecoder<WorkerRequest> {
  constructor(options: RequestDecoderOptions = {}) {
    const { dialect = 'mms', limits = DEFAULT_WIRE_LIMITS } = options
    super(new ByteSource(limits, 'empty'), (source) => readRequest(source, dialect))
  }
}

/** Decodes the replies of a worker. Codes, statuses and ids are returned unchecked. */
export class ReplyDecoder extends StreamDecoder<WorkerReply> {
  constructor(options: ReplyDecoderOptions = {}) {
    super(new ByteSource(options.limits ?? DEFAULT_WIRE_LIMITS, 'refused', options), readReply)
  }
}

function* readRequest(source: ByteSource, dialect: WireDialect): Reading<WorkerRequest> {
  const command = source.takeByte() ?? (yield* source.waitByte())
  if (command === COMMAND_PREDICT) return yield* readPredict(source)
  if (command === COMMAND_LOAD) return yield* readLoad(source, dialect)
  if (command === COMMAND_CANCEL) return { command: 'cancel', id: yield* source.waitString() }
  throw new ProtocolError(`unknown command byte 0x${command.toString(16).padStart(2, '0')}`)
}

/** A worker usually gets one load request in its life, so the slower readers are enough. */
function* readLoad(source: ByteSource, dialect: WireDialect): Reading<LoadRequest> {
  const modelName = yield* source.waitString()
  const modelPath = yield* source.waitString()
  const batchSize = yield* source.waitInt()
  const handler = yield* source.waitString()
  const gpu = yield* source.waitInt()
  const common = {
    command: 'load',
    modelName,
    modelPath,
    batchSize,
    handler,
    gpu: gpu < 0 ? NO_GPU : gpu,
  } as const
  if (dialect === 'mms') {
    const ioDescriptor = yield* source.waitString()
    return { ...common, ioDescriptor, envelope: '', limitMaxImagePixels: true }
  }
  const envelope = yield* source.waitString()
  return { ...common, ioDescriptor: '', envelope, limitMaxImagePixels: yield* readBoolean(source) }
}

/** Only 0 and 1 are valid: another byte is usually a sign of the other dialect. */
function* readBoolean(source: ByteSource): Reading<boolean> {
  const byte = yield* source.waitByte()
  if (byte > 1) throw new ProtocolError(`invalid boolean byte ${byte}`)
  return byte === 1
}

function* readPredict(source: ByteSource): Reading<PredictRequest> {
  const requests: WireRequest[] = []
  for (;;) {
    const idLength = source.takeInt() ?? (yield* source.waitInt())
    if (idLength === END_OF_LIST) return { command: 'predict', requests }
    source.checkCount(requests.length + 1)
    const id = source.takeText(idLength) ?? (yield* source.waitText(idLength))
    const headers = yield* readRequestHeaders(source)
    const parameters = yield* readParameters(source)
    requests.push({ id, headers, parameters })
  }
}

function* readRequestHeaders(source: ByteSource): Reading<WireHeader[]> {
  const headers: WireHeader[] = []
  for (;;) {
    const nameLength = source.takeInt() ?? (yield* source.waitInt())
    if (nameLength === END_OF_LIST) return headers
    source.checkCount(headers.length + 1)
    const name = source.takeText(nameLength) ?? (yield* source.waitText(nameLength))
    const value = source.takeString() ?? (yield* source.waitString())
    headers.push([name, value])
  }
}

function* readParameters(source: ByteSource): Reading<WireParameter[]> {
  const parameters: WireParameter[] = []
  for (;;) {
    const nameLength = source.takeInt() ?? (yield* source.waitInt())
    if (nameLength === END_OF_LIST) return parameters
    source.checkCount(parameters.length + 1)
    const name = source.takeText(nameLength) ?? (yield* source.waitText(nameLength))
    const contentType = source.takeString() ?? (yield* source.waitString())
    const value = source.takeValue() ?? (yield* source.waitValue())
    parameters.push({ name, contentType, value })
  }
}

function* readReply(source: ByteSource): Reading<WorkerReply> {
  const code = source.takeInt() ?? (yield* source.waitInt())
  const message = source.takeString() ?? (yield* source.waitString())
  const predictions: WirePrediction[] = []
  for (;;) {
    const idLength = source.takeInt() ?? (yield* source.waitInt())
    if (idLength === END_OF_LIST) return { code, message, predictions }
    source.checkCount(predictions.length + 1)
    const id = source.takeText(idLength) ?? (yield* source.waitText(idLength))
    const contentType = source.takeString() ?? (yield* source.waitString())
    const status = source.takeInt() ?? (yield* source.waitInt())
    const reason = source.takeString() ?? (yield* source.waitString())
    const headers = yield* readReplyHeaders(source)
    const body = source.takeValue() ?? (yield* source.waitValue())
    predictions.push({ id, contentType, status, reason, headers, body })
  }
}

/** A reply counts its headers; the headers of a request end with -1. */
function* readReplyHeaders(source: ByteSource): Reading<WireHeader[]> {
  const count = source.takeInt() ?? (yield* source.waitInt())
  source.checkCount(count)
  const headers: WireHeader[] = []
  while (headers.length < count) {
    const name = source.takeString() ?? (yield* source.waitString())
    const value = source.takeString() ?? (yield* source.waitString())
    headers.push([name, value])
  }
  return headers
}
