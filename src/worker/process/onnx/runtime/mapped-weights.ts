/**
 * The files of the weight cache that a session has mapped. Another process could write to them, and
 * the session would then compute with other weights.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs'
import { isSameState, stateOf } from '../../../../contract/shared-weights.ts'
import type { CheckedFile, FileState, SharedWeights } from '../../../../contract/shared-weights.ts'

/** Loads files only while they have the state in which they were checked. */
export class MappedWeights {
  readonly #shared: SharedWeights
  /** Why the files could not be loaded. */
  problem: string | undefined
  #descriptor: number | undefined
  #weights: FileState

  constructor(shared: SharedWeights) {
    this.#shared = shared
    this.#weights = shared.weights.state
  }

  /**
   * Reads which files to use. The front-end writes this file before the load request.
   * @returns `undefined` for a worker that has to load the original files.
   */
  static read(file: string): MappedWeights | undefined {
    if (file === '') return undefined
    try {
      const shared = JSON.parse(readFileSync(file, 'utf8')) as SharedWeights | null
      return shared === null ? undefined : new MappedWeights(shared)
    } catch {
      // A server that cannot write the file, for example because the disk is full.
      return undefined
    }
  }

  /**
   * Calls `load` with the model file of the cache. Compares both files before and after it.
   * @throws Error if a file is not the checked one; then what was loaded must not be used.
   */
  load(load: (file: string) => void): void {
    const { model, weights } = this.#shared
    const descriptors = [open(model), open(weights)] as const
    try {
      load(model.path)
      for (const [index, file] of [model, weights].entries()) {
        requireState(file, stateOf(fstatSync(descriptors[index] ?? -1, { bigint: true })))
        requireState(file, stateOf(lstatSync(file.path, { bigint: true })))
      }
      this.#descriptor = descriptors[1]
    } catch (error) {
      closeSync(descriptors[1])
      throw error
    } finally {
      closeSync(descriptors[0])
    }
  }

  /** Whether the mapped weights are those that were checked. */
  get isIntact(): boolean {
    if (this.#descriptor === undefined) return true
    const stats = fstatSync(this.#descriptor, { bigint: true })
    const now = stateOf(stats)
    if (isSameState(now, this.#weights)) return true
    // Removing the last name of a file changes its last time only. The mapped content stays.
    const isRemoved = stats.nlink === 0n
    if (!isRemoved || !isSameState({ ...now, ctimeNs: this.#weights.ctimeNs }, this.#weights))
      return false
    this.#weights = now
    return true
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}

/** Opens a file without following a link, and without waiting for the writer of a FIFO. */
function open(file: CheckedFile): number {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const descriptor = openSync(file.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    requireState(file, stateOf(fstatSync(descriptor, { bigint: true })))
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

function requireState(file: CheckedFile, state: FileState): void {
  if (!isSameState(file.state, state)) throw new Error('a file of the weight cache was changed')
}
