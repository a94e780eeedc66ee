import { Loads, UnwantedLoadError } from '../loading/loads.ts'
import { isArchive, nameOfFile } from '../sources/model-name.ts'
import { discard } from '../sources/prepare.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { stopping } from '../unavailable.ts'

/**
 * Models that are being transferred to this machine for a registration. They are not visible, and
 * their names are not taken.
 */
export class Arrivals {
  readonly #running = new Loads<PreparedModel[]>()
  #isStopping = false

  /**
   * Runs `fetch`, which transfers and prepares the versions of a model, until it ends or {@link
   * abort} ends it. After an abort nothing of them is left.
   * @param name The future name of the model; without a name it cannot be aborted.
   * @throws ServerError `ConflictStatusException` if it was aborted; the error of `fetch`.
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

  /**
   * Aborts all transfers of a name. Resolves when nothing of them is left, with whether there were
   * any.
   */
  abort(name: string): Promise<boolean> {
    return this.#running.abort(name, new UnwantedLoadError('downloaded'))
  }

  /** Aborts all transfers because the server stops. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#running.abortAll(stopping())
  }
}

/**
 * Returns the future name of a model before its download; `undefined` for an archive, which may
 * contain its name.
 * @param wished The name that the caller requested.
 * @throws ServerError `InvalidModelException` if the file name does not give a name.
 */
export function nameBeforeArrival(
  wished: string | undefined,
  fileName: string,
): string | undefined {
  return wished ?? (isArchive(fileName) ? undefined : nameOfFile(fileName))
}
