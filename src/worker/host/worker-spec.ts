import type { LoadRequest, WireDialect, WireLimits } from '../wire/messages.ts'
import type { BodyFile } from './body-file.ts'
import type { ChildSpec } from './child.ts'
import type { WorkerAddress } from './connection.ts'

/** Everything that is needed to start one worker and load its model. */
export interface WorkerSpec {
  readonly child: ChildSpec
  readonly address: WorkerAddress
  readonly dialect: WireDialect
  readonly load: LoadRequest
  readonly limits: WireLimits
  /** Line on stdout that says that the worker listens. */
  readonly readyLine: string
  /**
   * Line on stdout that says that the warm-up run begins; absent for workers that do not print one.
   */
  readonly warmUpLine?: string
  readonly loadTimeoutMs: number
  readonly responseTimeoutMs: number
  /** Maximum number of batches in the worker and its socket together. */
  readonly maxInFlight: number
  /**
   * Carries large bodies to workers that support it; the worker process inherits its descriptor.
   */
  readonly bodies?: BodyFile | undefined
  readonly onLine: (line: string, stream: 'stdout' | 'stderr') => void
  /**
   * Called before the worker loads the model. The function that it returns is called after the
   * load. Both reject when the files differ from the registered ones.
   */
  readonly checkFiles?: (() => Promise<() => Promise<void>>) | undefined
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
 * starting --ready line--> loading --reply 200--> ready --stop()--> stopping --> stopped
 *     |                        |                    |                               ^
 *     +------------------------+--------------------+-- exit, kill, invalid bytes --+
 * ```
 */
export type WorkerState = 'starting' | 'loading' | 'ready' | 'stopping' | 'stopped'
