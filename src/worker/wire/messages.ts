/**
 * The values that travel between front-end and worker: the original MMS worker protocol, and
 * TorchServe's layout of the load request as a second dialect of it. Field order, types and meaning:
 * `docs/worker-protocol.md`.
 */

/** Layout of the load request; everything else is the same in both. */
export type WireDialect = 'mms' | 'torchserve'

/** First byte of a request: `L`, load a model. */
export const COMMAND_LOAD = 0x4c
/** First byte of a request: `I`, predict. */
export const COMMAND_PREDICT = 0x49
/** Ends a list in a request, and a reply. */
export const END_OF_LIST = -1
/** `gpu` of a load request that means CPU. The original reads every negative number so. */
export const NO_GPU = -1

/** A header, in the order and spelling it came in. */
export type WireHeader = readonly [name: string, value: string]

/** `L`: load a model into the worker behind this connection. */
export interface LoadRequest {
  readonly command: 'load'
  readonly modelName: string
  /** Absolute path of the model's folder (or, between onnxd's own sides, of a bare `.onnx` file). */
  readonly modelPath: string
  /** Requests in one predict frame at most; the encoder sends 1 for anything below 1. */
  readonly batchSize: number
  /** `module:function` of the manifest, the name of a built-in handler, or empty. */
  readonly handler: string
  /** Device index, or {@link NO_GPU}. */
  readonly gpu: number
  /** MMS only: name stem of the two IO FIFOs in the worker's `--tmp-dir`; empty asks onnxd's own worker for none. */
  readonly ioDescriptor: string
  /** TorchServe only: request envelope class, empty for none. */
  readonly envelope: string
  /** TorchServe only. */
  readonly limitMaxImagePixels: boolean
}

/** A named value of a predict request: a form field, a query value, or the whole body under the name `body`. */
export interface WireParameter {
  readonly name: string
  /** Media type without parameters, empty when the client gave none. */
  readonly contentType: string
  readonly value: Buffer
}

/** One client request in a predict frame. */
export interface WireRequest {
  readonly id: string
  readonly headers: readonly WireHeader[]
  readonly parameters: readonly WireParameter[]
}

/** `I`: a batch of requests, answered by one reply. */
export interface PredictRequest {
  readonly command: 'predict'
  readonly requests: readonly WireRequest[]
}

export type WorkerRequest = LoadRequest | PredictRequest

/** The answer to one request of a batch. */
export interface WirePrediction {
  readonly id: string
  /** Empty when the handler set none. */
  readonly contentType: string
  readonly status: number
  /** Empty means the standard phrase. */
  readonly reason: string
  readonly headers: readonly WireHeader[]
  readonly body: Buffer
}

/** The answer to a load or predict request. A load reply has no predictions. */
export interface WorkerReply {
  readonly code: number
  readonly message: string
  readonly predictions: readonly WirePrediction[]
}

/** Limits that a decoder checks before it allocates. A length above its limit is a protocol error. */
export interface WireLimits {
  /** One parameter value or reply body, bytes. */
  readonly maxValueBytes: number
  /** One name, id, path, phrase, header value or message, bytes. */
  readonly maxTextBytes: number
  /** Requests in a frame, headers or parameters of one request, predictions or headers of a reply. */
  readonly maxCount: number
}

export const DEFAULT_WIRE_LIMITS: WireLimits = {
  maxValueBytes: 1024 * 1024 * 1024,
  maxTextBytes: 1024 * 1024,
  maxCount: 65_536,
}
