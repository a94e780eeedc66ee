import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { ServerError } from '../../errors.ts'
import type { Pool } from '../scheduling/pool.ts'
import type { PreparedModel } from './prepare.ts'

/** How often files are looked at that workers have mapped. */
const WATCH_MS = 1000
/**
 * Longer than a tick of the clock that file systems use. A worker must not open a file within the tick of the
 * look before it: what is exchanged and put back in one tick cannot be seen. A worker takes longer to start anyway.
 */
const CLOCK_MS = 20

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
   * Looks at the files before a worker loads them, and again when the result is called after that.
   * @throws ServerError `ConflictStatusException` that names the first file which is another one now.
   */
  readonly begin = async (): Promise<() => Promise<void>> => {
    const { files, temporaryFolder, hasCode } = this.#model
    // What was unpacked or came over the network is in a private folder.
    if (files === undefined || temporaryFolder !== undefined) return () => Promise.resolve()
    const [trails] = await Promise.all([files.follow(), delay(CLOCK_MS)])
    const outside = [...trails].find(([, trail]) => trail === undefined)?.[0]
    this.#refuse((await files.findChange()) ?? (outside && leadsAway(outside)))
    return async () => {
      // The code of a model may have written to its own files while it started.
      if (hasCode) return
      this.#refuse((await files.findExchange(trails)) ?? (await files.findChange()))
    }
  }

  #refuse(change: string | undefined): void {
    const { name, version } = this.#model
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

function leadsAway(file: string): string {
  return `${JSON.stringify(path.basename(file))} leads outside the model store`
}
