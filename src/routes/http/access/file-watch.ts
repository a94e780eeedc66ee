/** Notices that files have changed. */
import { stat } from 'node:fs/promises'

/** How often the files are looked at. */
const PERIOD_MS = 500

/**
 * Calls `onChange` after files have changed and were then left alone for one period, so that it
 * does not read a file that is half written, or a new certificate with the old key. It compares
 * what `stat` tells, which also shows when a link leads to another file, as in a volume of
 * Kubernetes.
 */
export class FileWatch {
  readonly #files: readonly string[]
  readonly #onChange: () => Promise<void>
  readonly #timer: NodeJS.Timeout
  #read: string | undefined
  #seen: string | undefined
  #isBusy = false

  private constructor(files: readonly string[], onChange: () => Promise<void>, read: string) {
    this.#files = files
    this.#onChange = onChange
    this.#read = read
    this.#seen = read
    this.#timer = setInterval(() => void this.#look(), PERIOD_MS).unref()
  }

  /** Call it before the files are read for the first time, so that no change is missed. */
  static async start(files: readonly string[], onChange: () => Promise<void>): Promise<FileWatch> {
    return new FileWatch(files, onChange, await stateOf(files))
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      const state = await stateOf(this.#files)
      const isSettled = state === this.#seen
      this.#seen = state
      if (!isSettled || state === this.#read) return
      this.#read = state
      await this.#onChange()
    } finally {
      this.#isBusy = false
    }
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
