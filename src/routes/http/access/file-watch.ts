/** Notices that files have changed. */
import { stat } from 'node:fs/promises'

/** How often the files are looked at. */
const PERIOD_MS = 500

/**
 * Notices that files have changed and were then left alone for one period, so that nobody reads a
 * file that is half written, or a new certificate with the old key. It compares what `stat` tells,
 * which also shows when a link leads to another file, as in a volume of Kubernetes.
 */
export class FileWatch {
  readonly #files: readonly string[]
  #timer: NodeJS.Timeout | undefined
  #read: string
  #seen: string
  #isBusy = false

  private constructor(files: readonly string[], state: string) {
    this.#files = files
    this.#read = state
    this.#seen = state
  }

  /** Call it before the files are read for the first time, so that no change is missed. */
  static async of(files: readonly string[]): Promise<FileWatch> {
    return new FileWatch(files, await stateOf(files))
  }

  /** Calls `onChange` after each change, also for those since {@link of}. It must not fail. */
  start(onChange: () => Promise<void>): void {
    this.#timer = setInterval(() => void this.#look(onChange), PERIOD_MS).unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #look(onChange: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    const state = await stateOf(this.#files)
    const isSettled = state === this.#seen
    this.#seen = state
    if (isSettled && state !== this.#read) {
      this.#read = state
      await onChange()
    }
    this.#isBusy = false
  }
}

async function stateOf(files: readonly string[]): Promise<string> {
  const states = await Promise.all(
    files.map(async (file) => {
      try {
        const { ino, size, mtimeMs, ctimeMs } = await stat(file)
        return [ino, size, mtimeMs, ctimeMs].join()
      } catch (error) {
        return String(error)
      }
    }),
  )
  return states.join('\n')
}
