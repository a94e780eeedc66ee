import { ServerError } from '../../errors.ts'
import type { RegisteredFiles } from './registered-files.ts'

/** What a {@link LateArchive} unpacks. */
export interface LateArchiveOptions {
  /** State of the archive when it was registered. */
  readonly files: RegisteredFiles
  /** Size of the unpacked files. */
  readonly bytes: number
  /** Unpacks the files to the path that the prepared model has. */
  readonly unpack: (signal: AbortSignal) => Promise<void>
}

/** An archive of a model store that is unpacked when its model is loaded for the first time. */
export class LateArchive {
  /** Size of the unpacked files. */
  readonly bytes: number
  readonly #options: LateArchiveOptions
  readonly #closing = new AbortController()
  #isUnpacked = false
  #running: Promise<void> | undefined

  constructor(options: LateArchiveOptions) {
    this.#options = options
    this.bytes = options.bytes
  }

  /**
   * Unpacks the archive, if that was not done before. Calls at the same time share the work.
   * @param model Name of the model.
   * @param signal Stops the work.
   * @throws ServerError `ConflictStatusException` if the archive has changed; as `extractArchive`.
   */
  async unpack(model: string, signal: AbortSignal): Promise<void> {
    if (this.#isUnpacked) return
    this.#running ??= this.#unpack(model, AbortSignal.any([signal, this.#closing.signal])).finally(
      () => (this.#running = undefined),
    )
    await this.#running
  }

  /** Stops the work, and waits for its end. Nothing is unpacked afterwards. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running?.catch(() => {})
  }

  async #unpack(model: string, signal: AbortSignal): Promise<void> {
    const { files, unpack } = this.#options
    signal.throwIfAborted()
    await requireUnchanged(model, files)
    await unpack(signal)
    // A file that is replaced while it is read may be unpacked in parts of both.
    await requireUnchanged(model, files)
    this.#isUnpacked = true
  }
}

async function requireUnchanged(model: string, files: RegisteredFiles): Promise<void> {
  const change = await files.findChange()
  if (change !== undefined) throw changedFiles(model, change)
}

/** The error for a model whose files are not the registered ones. */
export function changedFiles(model: string, change: string): ServerError {
  return new ServerError(
    'ConflictStatusException',
    `The files of model ${model} changed after its registration: ${change}. ` +
      'Running workers continue with the old files, and no new worker is started. ' +
      'Load or register the model again to serve the new files.',
  )
}
