import { Loads, UnwantedLoadError } from '../loads.ts'
import { isArchive, nameOfFile } from '../sources/model-name.ts'
import { discard } from '../sources/prepare.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { stopping } from '../unavailable.ts'

/** Models that are on their way to this machine for a registration. They are not visible, and no name is taken. */
export class Arrivals {
  readonly #running = new Loads<PreparedModel[]>()
  #isStopping = false

  /**
   * Runs `fetch`, which brings the versions of a model, until they are there or {@link abort} ends it;
   * then nothing is left.
   * @param name What the model will be called; without one nobody can end it.
   * @throws ServerError `ConflictStatusException` when it was ended, and whatever `fetch` throws.
   */
  async run(
    name: string | undefined,
    fetch: (signal: AbortSignal) => Promise<PreparedModel[]>,
  ): Promise<PreparedModel[]> {
    if (this.#isStopping) throw stopping()
    const models = name === undefined ? [] : [{ name }]
    return this.#running.begin(models, 'request', async ({ signal }) => {
      const prepared = await fetch(signal)
      if (signal.aborted) await Promise.all(prepared.map((model) => discard(model)))
      signal.throwIfAborted()
      return prepared
    }).done
  }

  /** Ends what is on its way under a name; says when nothing of it is left whether there was anything. */
  abort(name: string): Promise<boolean> {
    return this.#running.abort(name, new UnwantedLoadError('downloaded'))
  }

  /** Ends everything that is on its way, for the server stops. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#running.abortAll(stopping())
  }
}

/**
 * What a model that is still to be downloaded will be called. An archive may say it itself, once it is there.
 * @param wished The caller's own name for it.
 * @throws ServerError `InvalidModelException` when no name can be made of that of the file.
 */
export function nameBeforeArrival(
  wished: string | undefined,
  fileName: string,
): string | undefined {
  return wished ?? (isArchive(fileName) ? undefined : nameOfFile(fileName))
}
