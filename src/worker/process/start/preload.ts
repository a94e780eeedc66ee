/** A model that is loaded before the first connection (MMS worker process, section 1.6). */
import type { WireRequest, WorkerReply } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { isMemoryError } from '../loop/replies.ts'
import { reportError } from '../report-error.ts'

/**
 * Loads a model that all connections share, or nothing when memory runs out: then, as in the original,
 * each connection tries for itself. Any other failure ends the process.
 */
export async function preload(load: () => Promise<LoadedModel>): Promise<LoadedModel | undefined> {
  try {
    return new SharedModel(await load())
  } catch (error) {
    reportError('The model cannot be preloaded', error)
    if (isMemoryError(error)) return undefined
    return process.exit(1)
  }
}

/** Lets several connections use one model, whose calls must not overlap. */
class SharedModel implements LoadedModel {
  /** Other connections share it. */
  readonly needsEventLoop = true
  readonly #model: LoadedModel
  #lastRun: Promise<unknown> = Promise.resolve()

  constructor(model: LoadedModel) {
    this.#model = model
  }

  predict(requests: readonly WireRequest[]): Promise<WorkerReply> {
    const run = this.#lastRun.then(() => this.#model.predict(requests, performance.now()))
    this.#lastRun = run.catch(() => undefined)
    return run
  }

  /** The next connection needs it again. */
  close(): void {}
}
