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
  /** Line on stdout by which the worker says that it listens. */
  readonly readyLine: string
  /** Line on stdout by which the worker says that it begins to warm the model up, for workers that do. */
  readonly warmUpLine?: string
  readonly loadTimeoutMs: number
  readonly responseTimeoutMs: number
  /** Batches that may be in the worker and its socket together. */
  readonly maxInFlight: number
  /** Takes large bodies, for workers that can read it; their process gets its descriptor. */
  readonly bodies?: BodyFile | undefined
  readonly onLine: (line: string, stream: 'stdout' | 'stderr') => void
  /**
   * Called before the worker loads the model; the result is called when it has loaded it. Both reject when the files
   * are not those that were registered.
   */
  readonly checkFiles?: (() => Promise<() => Promise<void>>) | undefined
  /** Called when the model is loaded, before the first batch. */
  readonly onLoaded?: () => void
  /** Why a worker that said nothing to a load request could not load the model, as its output has it. */
  readonly lastWords?: () => string | undefined
}

/**
 * ```
 * starting ──ready line──▶ loading ──reply 200──▶ ready ──stop()──▶ stopping ──▶ stopped
 *     └────────────────────────┴─────────────────────┴──exit, kill, bad bytes──────▲
 * ```
 */
export type WorkerState = 'starting' | 'loading' | 'ready' | 'stopping' | 'stopped'
