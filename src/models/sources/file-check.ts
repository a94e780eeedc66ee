import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Pool } from '../scheduling/pool.ts'
import { changedFiles } from './late-archive.ts'
import type { PreparedModel } from './prepare.ts'

export { changedFiles }

/** Interval at which the files that workers have mapped are checked. */
const WATCH_MS = 1000
/**
 * Longer than a tick of the file system clock. A worker must not open a file within the tick of the
 * check before it: a file that is replaced and restored within one tick cannot be detected.
 * Starting a worker takes longer anyway.
 */
const CLOCK_MS = 20

/** Ensures that all workers of a version serve the files that were registered. */
export class FileCheck {
  readonly #model: PreparedModel
  readonly #log: Logger
  /**
   * The last logged problem. It is logged once, because the pool tries again and again to replace a
   * worker.
   */
  #logged: string | undefined
  #overwritten: string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(model: PreparedModel, log: Logger) {
    this.#model = model
    this.#log = log
  }

  /**
   * From now on, kills workers when a file that they have mapped is written to. New workers are
   * then rejected.
   */
  watch(pool: Pick<Pool, 'slots'>): void {
    const { name, version, files, temporaryFolder } = this.#model
    if (files?.hasMapped !== true || temporaryFolder !== undefined) return
    const look = async (): Promise<void> => {
      const file = await files.findOverwritten()
      if (this.#timer === undefined) return
      if (file !== undefined) {
        const text = 'a file that workers have mapped was overwritten; the workers are killed'
        if (file !== this.#overwritten) this.#log.error({ model: name, version, file }, text)
        const because = `was killed because its mapped file ${JSON.stringify(file)} was overwritten`
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
   * Checks the files before a worker loads them; the returned function checks them again
   * afterwards.
   * @throws ServerError `ConflictStatusException` that names the first changed file.
   */
  readonly begin = async (): Promise<() => Promise<void>> => {
    const { files, temporaryFolder, hasCode } = this.#model
    // Unpacked or transferred files are in a private folder, so they cannot change.
    if (files === undefined || temporaryFolder !== undefined) return () => Promise.resolve()
    const [trails] = await Promise.all([files.follow(), delay(CLOCK_MS)])
    const outside = [...trails].find(([, trail]) => trail === undefined)?.[0]
    this.#refuse((await files.findChange()) ?? (outside && leadsAway(outside)))
    return async () => {
      // A custom handler may have written to its own files while it started.
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
      const text = 'the files of the model changed after its registration; no new worker is started'
      this.#log.error({ model: name, version, change }, text)
      this.#logged = change
    }
    throw changedFiles(name, change)
  }
}

function leadsAway(file: string): string {
  return `${JSON.stringify(path.basename(file))} points outside the model store`
}
