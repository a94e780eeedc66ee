/**
 * The interface between the protocol loop and a model. The built-in ONNX handlers and the adapter
 * for custom handlers implement it.
 */
import type { CallOptions } from '../../../types/handler.d.ts'
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import type { JoinBatches } from '../../model-folder/version-settings.ts'
import type { WireRequest, WorkerReply } from '../wire/messages.ts'

/** Facts about the model from the load request and the worker's environment. */
export interface LoadContext {
  readonly modelName: string
  /** Absolute path of the model's folder, or of a single `.onnx` file. */
  readonly modelPath: string
  readonly handler: string
  readonly batchSize: number
  /** Device index, or `undefined` for CPU. */
  readonly gpu: number | undefined
  readonly options: WorkerOptions
  /** Takes the place of the channel to the front-end. */
  readonly calls?: ModelCalls
  /** In a test, nobody reads the metrics that a handler prints. */
  readonly hidesMetrics?: boolean
}

/** How the handler of a model calls other models. */
export interface ModelCalls {
  /**
   * Sends `data` to a model and returns its response: decoded JSON, a string for text, else bytes.
   * @param served Id of the request that is served.
   * @throws PredictionException with the status of a response of 400 or above.
   */
  predict(served: string, model: string, data: unknown, options?: CallOptions): Promise<unknown>
}

/** The replies that follow the first one, for responses that are streamed. */
export interface FurtherReplies {
  /** Resolves with the next reply; `undefined` after the last one. Never rejects. */
  next(): Promise<WorkerReply | undefined>
  /** Ends the response to this request early; to all requests without an id. */
  cancel(id?: string): void
}

/** The reply of a model. It must be read to its end before the next call of `predict`. */
export interface ModelReply extends WorkerReply {
  /** Absent unless a response is streamed. */
  readonly more?: FurtherReplies
}

/**
 * A loaded model. Calls of `predict` never overlap: the loop waits for one reply before it makes
 * the next call.
 */
export interface LoadedModel {
  /**
   * Whether the model needs the event loop between two requests, for example for timers or sockets
   * of a custom handler.
   */
  readonly needsEventLoop: boolean
  /**
   * Runs a batch: one prediction per request, in the same order and with the same ids. It must not
   * throw because of the content of a request; an error that it throws becomes MMS's error reply
   * for the whole batch.
   * @param startedAt When work on the batch began, on the clock of `performance.now()`, in
   * milliseconds.
   */
  predict(requests: readonly WireRequest[], startedAt: number): Promise<ModelReply> | ModelReply
  /** Frees the resources of the model. */
  close(): Promise<void> | void
}

/**
 * A tensor that clients see with another shape (`dims`) than the model (`shape`). Neither shape
 * includes the batch dimension.
 */
export interface TensorReshape {
  readonly name: string
  readonly dims: readonly number[]
  readonly shape: readonly number[]
}

/** Inputs and outputs that are reshaped. */
export interface Reshapes {
  readonly inputs: readonly TensorReshape[]
  readonly outputs: readonly TensorReshape[]
}

/**
 * Options of the worker that are not part of the protocol. They come as JSON in the environment
 * variable `ONNXD_WORKER_OPTIONS`.
 */
export interface WorkerOptions {
  /** Threads of one operator (onnxruntime intra-op). Default 1. */
  readonly threads: number
  /** Graph optimization level of onnxruntime. Default `all`. */
  readonly graphOptimization: 'disabled' | 'basic' | 'extended' | 'all'
  /**
   * Execution providers in order of preference, for example `["cuda", "cpu"]`. An empty list means
   * CUDA if a GPU was assigned, otherwise CPU.
   */
  readonly providers: readonly string[]
  /**
   * Whether to run a model once with zeros as inputs before it is reported as ready. Default true.
   */
  readonly warmUp: boolean
  /** Whether custom handlers are allowed. Default true; the front-end passes its own setting. */
  readonly allowHandlers: boolean
  /** Version that the model is registered under. Empty: the version in the model's files. */
  readonly modelVersion: string
  /** Maximum size of the batch dimension of one request. 0: the limit in the model's files. */
  readonly maxBatchSize: number
  /**
   * False: the first dimension is not a batch dimension, although its size is variable. Default
   * true.
   */
  readonly hasBatchDimension: boolean
  readonly reshapes: Reshapes
  /** Whether requests share runs. Empty: the setting in the model's files. */
  readonly joinBatches: JoinBatches | ''
  /**
   * File of class labels beside `config.pbtxt`, for a model whose `model.json` has no `labels`.
   * Empty: no file.
   */
  readonly labels: string
  /**
   * Real path of the folder that paths in the model's settings must stay in. Empty: no restriction.
   */
  readonly root: string
  /**
   * File that says which files of the weight cache to load. It is written before the load request.
   * Empty: none.
   */
  readonly weights: string
  /** Begin of the path of the file in which operators are profiled. Empty: they are not. */
  readonly profile: string
  /** Settings that override those in the model's files, for measurements. */
  readonly overrides: Partial<Pick<WorkerOptions, 'threads' | 'graphOptimization'>>
  /** Maximum size of a compressed body after decompression, bytes. */
  readonly maxBodyBytes: number
  /**
   * Maximum size of a response body, bytes. A longer body becomes an error. JSON before the binary
   * data of the Open Inference Protocol is not counted.
   */
  readonly maxResponseBytes: number
  /** Maximum size of a JSON body, bytes. Longer bodies are rejected. */
  readonly maxJsonBytes: number
  /** Maximum nesting depth of a JSON body. */
  readonly maxJsonDepth: number
  /**
   * Whether the front-end accepts several replies to one predict request. Default false: streamed
   * responses are collected, because the front-end of MMS accepts one reply only.
   */
  readonly streams: boolean
  /** Descriptor of the channel for calls of other models; 0: there is none. */
  readonly calls: number
  /** The steps of a pipeline; `null` for other models. */
  readonly pipeline: PipelineSettings | null
}

export const DEFAULT_WORKER_OPTIONS: WorkerOptions = {
  threads: 1,
  graphOptimization: 'all',
  providers: [],
  warmUp: true,
  allowHandlers: true,
  modelVersion: '',
  maxBatchSize: 0,
  hasBatchDimension: true,
  reshapes: { inputs: [], outputs: [] },
  joinBatches: '',
  labels: '',
  root: '',
  weights: '',
  profile: '',
  overrides: {},
  maxBodyBytes: 64 * 1024 * 1024,
  maxResponseBytes: 64 * 1024 * 1024,
  maxJsonBytes: 16 * 1024 * 1024,
  maxJsonDepth: 100,
  streams: false,
  calls: 0,
  pipeline: null,
}
