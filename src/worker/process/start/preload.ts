/** A model that is loaded before the first connection. See `docs/worker-protocol.md`. */
import type { WireRequest, WorkerReply } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { isMemoryError } from '../loop/replies.ts'
import { reportError } from '../report-error.ts'

/**
 * Loads a model that all connections share. Returns `undefined` when memory ran out: then each
 * connection tries to load it, as in MMS. Any other failure ends the process with exit code 1.
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

/** Lets several connections use one model by running their calls one after the other. */
class SharedModel implements LoadedModel {
  /** Several connections share the process, so it must not block for one of them. */
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

  /** Does nothing: the next connection needs the model again. */
  close(): void {}
}
