/**
 * What the protocol loop needs of whatever serves a model: the built-in ONNX handlers and the adapter
 * around the user's own module both implement it.
 */
import type { JoinBatches } from '../../model-folder/settings.ts'
import type { WireRequest, WorkerReply } from '../wire/messages.ts'

/** What a load request and the worker's environment say about the model. */
export interface LoadContext {
  readonly modelName: string
  /** Absolute path: the model's folder, or a bare `.onnx` file. */
  readonly modelPath: string
  readonly handler: string
  readonly batchSize: number
  /** Device index, or `undefined` for CPU. */
  readonly gpu: number | undefined
  readonly options: WorkerOptions
}

/** A loaded model. Calls never overlap: the loop waits for one reply before it asks for the next. */
export interface LoadedModel {
  /** Whether anything of it goes on between two requests: timers, sockets, whatever a model's own code may do. */
  readonly needsEventLoop: boolean
  /**
   * Answers a batch: one prediction per request, in the same order and with the same ids. Must not
   * throw for anything a request contains; what it does throw becomes the original's error reply.
   * @param startedAt When work on the batch began, on the clock of `performance.now()`.
   */
  predict(requests: readonly WireRequest[], startedAt: number): Promise<WorkerReply> | WorkerReply
  /** Frees what the model holds. */
  close(): Promise<void> | void
}

/**
 * How clients see a tensor (`dims`) that the model has in another shape; both without the batch
 * dimension.
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

/** Options of the worker that are not part of the protocol: JSON in the environment variable `ONNXD_WORKER_OPTIONS`. */
export interface WorkerOptions {
  /** Threads of one operator (onnxruntime intra-op). Default 1. */
  readonly threads: number
  /** onnxruntime's graph optimisation level. Default `all`. */
  readonly graphOptimization: 'disabled' | 'basic' | 'extended' | 'all'
  /** Execution providers in order of preference, for example `["cuda", "cpu"]`. Empty: CUDA when a GPU was assigned, else CPU. */
  readonly providers: readonly string[]
  /** Run a network once on zeros before it is called ready. */
  readonly warmUp: boolean
  /** May a model bring code of its own? */
  readonly allowHandlers: boolean
  /** Version that the model is registered under; empty: what its files say. */
  readonly modelVersion: string
  /** Rows of one request at most, where the model takes its first dimension as a batch; 0: what its files say. */
  readonly maxBatchSize: number
  /** False: the first dimension is no batch, although the model leaves it open. */
  readonly hasBatchDimension: boolean
  readonly reshapes: Reshapes
  /** Whether requests share runs; empty: what the model's files say. */
  readonly joinBatches: JoinBatches | ''
  /** File of class labels beside `config.pbtxt`, for a model whose `model.json` names none; empty: none. */
  readonly labels: string
  /** Real path that the settings of the model must not lead out of; empty: none. */
  readonly root: string
  /** A compressed body may have so many bytes when it is decompressed. */
  readonly maxBodyBytes: number
  /** The worker refuses to send a longer body, bytes; JSON in front of binary data of the Open Inference Protocol is not counted. */
  readonly maxResponseBytes: number
  /** JSON bodies above this are refused, bytes. */
  readonly maxJsonBytes: number
  /** Deepest nesting of a JSON body. */
  readonly maxJsonDepth: number
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
  maxBodyBytes: 64 * 1024 * 1024,
  maxResponseBytes: 64 * 1024 * 1024,
  maxJsonBytes: 16 * 1024 * 1024,
  maxJsonDepth: 100,
}
