/** A worker process for measurements, which serves no client. */
import { randomUUID } from 'node:crypto'
import { setPriority } from 'node:os'
import { peakBytes } from '../../system/process-identity.ts'
import type { EffectiveSettings, SettingOverrides } from '../effective-settings.ts'
import { PrintedMetrics } from '../metrics/handler-metrics.ts'
import type { PoolWorker } from '../scheduling/pool.ts'
import type { Prediction } from '../scheduling/queue/job.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { WorkerFactory } from '../workers/worker-factory.ts'
import type { ExampleRequest } from './example-requests.ts'

/** Number of the worker in the log. The workers that serve begin with 1. */
const WORKER_NUMBER = 0
/** The workers that serve get the processors first. */
const LOW_PRIORITY = 10

/** The model of a trial worker, and what starts its process. */
export interface TrialModel {
  readonly prepared: PreparedModel
  readonly settings: EffectiveSettings
  readonly factory: WorkerFactory
}

/** A started worker. */
export class TrialWorker {
  readonly loadMs: number
  readonly #worker: PoolWorker

  private constructor(worker: PoolWorker, loadMs: number) {
    this.#worker = worker
    this.loadMs = loadMs
  }

  /**
   * Starts a worker and loads the model.
   * @param signal Ends the worker.
   * @throws ServerError with the worker's own reason; the reason of the signal.
   */
  static async start(
    { prepared, settings, factory }: TrialModel,
    overrides: Partial<SettingOverrides>,
    signal: AbortSignal,
  ): Promise<TrialWorker> {
    signal.throwIfAborted()
    const begun = performance.now()
    const worker = factory.start(prepared, settings, WORKER_NUMBER, new PrintedMetrics(), {
      overrides,
    })
    lowerPriority(worker.pid)
    const stop = (): void => worker.kill('was told to stop')
    signal.addEventListener('abort', stop, { once: true })
    void worker.exited.then(() => signal.removeEventListener('abort', stop))
    try {
      await worker.ready
    } catch (error) {
      await worker.stop()
      signal.throwIfAborted()
      throw error
    }
    return new TrialWorker(worker, performance.now() - begun)
  }

  /** Sends requests at once. @throws ServerError of the worker. */
  async send(requests: readonly ExampleRequest[]): Promise<readonly Prediction[]> {
    const { predictions } = await this.#worker.predict(
      requests.map((request) => ({ ...request, id: randomUUID() })),
    )
    return predictions
  }

  /** Largest memory so far; `undefined` if the system does not tell. */
  async peakBytes(): Promise<number | undefined> {
    const { pid } = this.#worker
    return pid === undefined ? undefined : peakBytes(pid)
  }

  async stop(): Promise<void> {
    await this.#worker.stop()
  }
}

/** Threads inherit it, so it is set before the model is loaded. */
function lowerPriority(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, LOW_PRIORITY)
  } catch {
    // The process has ended; its load says why.
  }
}
