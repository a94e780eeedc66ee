/**
 * The messages between front-end and worker: the protocol of MMS, with TorchServe's load request as
 * a second dialect. `docs/worker-protocol.md` describes the order, types and meaning of the fields.
 */

/** Layout of the load request; all other messages are the same in both dialects. */
export type WireDialect = 'mms' | 'torchserve'

/** First byte of a request: `L`, load a model. */
export const COMMAND_LOAD = 0x4c
/** First byte of a request: `I`, predict. */
export const COMMAND_PREDICT = 0x49
/** First byte of a request: `C`, end a streamed reply. Only onnxd's own worker knows it. */
export const COMMAND_CANCEL = 0x43
/**
 * Reply header of TorchServe. `true`: this prediction is a part of a response, and more parts
 * follow in later replies. `false`: it is the last part.
 */
export const STREAM_HEADER = 'ts_stream_next'
/** Ends a list in a request, and the predictions of a reply. */
export const END_OF_LIST = -1
/** Value of `gpu` in a load request that means CPU. MMS reads every negative number this way. */
export const NO_GPU = -1

/** A header, with its original order and spelling. */
export type WireHeader = readonly [name: string, value: string]

/** `L`: load a model into the worker behind this connection. */
export interface LoadRequest {
  readonly command: 'load'
  readonly modelName: string
  /**
   * Absolute path of the model's folder. onnxd's front-end also sends the path of a single `.onnx`
   * file to its own workers.
   */
  readonly modelPath: string
  /**
   * Maximum number of requests in one predict frame. The encoder sends 1 for any smaller number.
   */
  readonly batchSize: number
  /** `module:function` from the manifest, the name of a built-in handler, or empty. */
  readonly handler: string
  /** Device index, or {@link NO_GPU}. */
  readonly gpu: number
  /**
   * MMS only: name stem of the two IO FIFOs in the worker's `--tmp-dir`. When it is empty, onnxd's
   * own worker creates no FIFOs.
   */
  readonly ioDescriptor: string
  /** TorchServe only: class of the request envelope; empty for no envelope. */
  readonly envelope: string
  /** TorchServe only. */
  readonly limitMaxImagePixels: boolean
}

/**
 * A named value of a predict request: a form field, a query value, or the whole body with the name
 * `body`.
 */
export interface WireParameter {
  readonly name: string
  /** Media type without parameters; empty when the client sent none. */
  readonly contentType: string
  readonly value: Buffer
}

/** One client request in a predict frame. */
export interface WireRequest {
  readonly id: string
  readonly headers: readonly WireHeader[]
  readonly parameters: readonly WireParameter[]
}

/** `I`: a batch of requests, answered by one reply, or by several if a response is streamed. */
export interface PredictRequest {
  readonly command: 'predict'
  readonly requests: readonly WireRequest[]
}

/** `C`: the client of a request has left, so its streamed reply may end early. It has no reply. */
export interface CancelRequest {
  readonly command: 'cancel'
  readonly id: string
}

export type WorkerRequest = LoadRequest | PredictRequest | CancelRequest

/** The response to one request of a batch. */
export interface WirePrediction {
  readonly id: string
  /** Empty when the handler set none. */
  readonly contentType: string
  readonly status: number
  /** Empty means the standard phrase of the status. */
  readonly reason: string
  readonly headers: readonly WireHeader[]
  readonly body: Buffer
}

/** The reply to a load or predict request. A load reply has no predictions. */
export interface WorkerReply {
  readonly code: number
  readonly message: string
  readonly predictions: readonly WirePrediction[]
}

/** Limits that a decoder checks before it allocates memory. Exceeding one is a protocol error. */
export interface WireLimits {
  /** Maximum bytes of one parameter value or reply body. */
  readonly maxValueBytes: number
  /** Maximum bytes of one name, id, path, phrase, header value or message. */
  readonly maxTextBytes: number
  /**
   * Maximum number of requests in a frame, headers or parameters of one request, and predictions or
   * headers of a reply.
   */
  readonly maxCount: number
}

export const DEFAULT_WIRE_LIMITS: WireLimits = {
  maxValueBytes: 1024 * 1024 * 1024,
  maxTextBytes: 1024 * 1024,
  maxCount: 65_536,
}
