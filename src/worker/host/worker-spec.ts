import type { LoadRequest, WireDialect, WireLimits } from '../wire/messages.ts'
import type { CallAnswers } from './calls/call-channel.ts'
import type { OnLine, WorkerProcess } from './child-process/worker-process.ts'

/** A process, and everything that is needed to load a model in it. */
export interface WorkerSpec {
  readonly process: WorkerProcess
  readonly dialect: WireDialect
  readonly load: LoadRequest
  readonly limits: WireLimits
  /**
   * Line on stdout that says that the warm-up run begins; absent for workers that do not print one.
   */
  readonly warmUpLine?: string
  readonly loadTimeoutMs: number
  readonly responseTimeoutMs: number
  /** Maximum number of batches in the worker and its socket together. */
  readonly maxInFlight: number
  readonly onLine: OnLine
  /** Absent for workers that send one reply to each request. */
  readonly streams?: {
    /** Whether the worker ends a streamed response if it is told to. */
    readonly canCancel: boolean
  }
  /** Answers calls to other models; absent for workers whose process has no channel for them. */
  readonly calls?: CallAnswers | undefined
  /**
   * Called before the worker loads the model. The function that it returns is called after the
   * load. Both reject when the files differ from the registered ones.
   */
  readonly checkFiles?: (() => Promise<() => Promise<void>>) | undefined
  /**
   * Whether the files of the weight cache that this worker has mapped were changed. Then neither
   * the model nor a request caused a crash.
   */
  readonly hasChangedWeights?: () => boolean
  /** Whether this worker maps files of the weight cache; absent without a cache. */
  readonly hasSharedWeights?: () => boolean
  /** Called when the model is loaded, before the first batch. */
  readonly onLoaded?: () => void
  /**
   * Returns the reason from the worker's output, for workers that do not reply why a model failed
   * to load.
   */
  readonly lastWords?: () => string | undefined
}

/**
 * States of a worker.
 * ```
 * starting --connected---> loading --reply 200--> ready --stop()--> stopping --> stopped
 *     |                        |                    |                               ^
 *     +------------------------+--------------------+-- exit, kill, invalid bytes --+
 * ```
 */
export type WorkerState = 'starting' | 'loading' | 'ready' | 'stopping' | 'stopped'
