import type { Logger } from 'pino'
import { ServerError } from '../errors.ts'
import type { Pool } from './pool.ts'
import type { PreparedModel } from './source.ts'

/** How often files are looked at that workers have mapped. */
const WATCH_MS = 1000

/** Sees to it that all workers of a version serve the files that were registered. */
export class FileCheck {
  readonly #model: PreparedModel
  readonly #log: Logger
  /** What the log was told last: a worker that cannot be replaced is tried again and again. */
  #logged: string | undefined
  #overwritten: string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(model: PreparedModel, log: Logger) {
    this.#model = model
    this.#log = log
  }

  /** Ends workers from now on when a file is written to that they have mapped. New ones are then refused. */
  watch(pool: Pick<Pool, 'slots'>): void {
    const { name, version, files, temporaryFolder } = this.#model
    if (files?.hasMapped !== true || temporaryFolder !== undefined) return
    const look = async (): Promise<void> => {
      const file = await files.findOverwritten()
      if (this.#timer === undefined) return
      if (file !== undefined) {
        const text = 'a file that workers have mapped was written to; the workers are ended'
        if (file !== this.#overwritten) this.#log.error({ model: name, version, file }, text)
        const because = `had ${JSON.stringify(file)} mapped, which was written to`
        for (const { worker } of pool.slots) if (worker.state === 'ready') worker.kill(because)
      }
      this.#overwritten = file
    }
    this.#timer = setInterval(() => void look(), WATCH_MS).unref()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /**
   * Looks at the files before and after a worker loads them.
   * @throws ServerError `ConflictStatusException` that names the first file which is another one now.
   */
  readonly check = async (moment: 'before' | 'after'): Promise<void> => {
    const { name, version, files, temporaryFolder, hasCode } = this.#model
    // What was unpacked or came over the network is in a private folder.
    if (files === undefined || temporaryFolder !== undefined) return
    // The code of a model may have written to its own files while it started.
    if (hasCode && moment === 'after') return
    const change = await files.findChange()
    if (change === undefined) {
      this.#logged = undefined
      return
    }
    if (change !== this.#logged) {
      const text =
        'the files of the model changed after its registration; no new worker serves them'
      this.#log.error({ model: name, version, change }, text)
      this.#logged = change
    }
    throw new ServerError(
      'ConflictStatusException',
      `The files of model ${name} changed after its registration: ${change}. ` +
        'Workers that are ready go on with what they have loaded, and no new worker is started. ' +
        'Load or register the model again to serve the new files.',
    )
  }
}
