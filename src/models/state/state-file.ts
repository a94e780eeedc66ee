import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import writeFileAtomic from 'write-file-atomic'
import { messageOf } from '../../errors.ts'
import {
  MAX_STATE_BYTES,
  isLeftover,
  moveToFreeName,
  readPlainFile,
  replaceByCopy,
  syncFolder,
} from './state-disk.ts'
import { SCHEMA_VERSION, StateError, decodeState, encodeState } from './state-format.ts'
import type { Decoded, ServerState } from './state-format.ts'
import { StateLock } from './state-lock.ts'

/** Result of {@link StateFile.load}. */
export interface LoadedState {
  readonly state: ServerState
  /** The newest generation, the one before, or no usable state. */
  readonly source: 'current' | 'previous' | 'empty'
  /** Problems for the operator, one sentence each; empty if there are none. */
  readonly problems: readonly string[]
}

type Generation = Exclude<Decoded, { kind: 'newer' }> | { readonly kind: 'missing' }

/** The next text to write. Later callers replace the text and share the promise. */
interface WaitingSave {
  text: string
  readonly done: Promise<void>
}

/**
 * The state of a server in a folder: `state.json`, and `state.previous.json` with the generation
 * before. Each file is replaced completely or not at all. A damaged file is kept as
 * `state.damaged-<time>.json`. Only one server may use the folder, from `load` to `close`.
 */
export class StateFile {
  readonly #folder: string
  readonly #current: string
  readonly #previous: string
  readonly #report: (problem: string) => void
  #lock: StateLock | undefined
  #waiting: WaitingSave | undefined
  #writing: Promise<void> = Promise.resolve()

  /** @param report Receives problems that are found while saving. */
  constructor(folder: string, report: (problem: string) => void = () => {}) {
    this.#folder = path.resolve(folder)
    this.#current = path.join(this.#folder, 'state.json')
    this.#previous = path.join(this.#folder, 'state.previous.json')
    this.#report = report
  }

  /**
   * Creates the folder if it is missing, locks it and reads the state of the last server.
   * @throws StateError if the folder is in use or cannot be written, or a file has a newer version,
   * is a link, is unreadable or is larger than 16 MiB. Then nothing was changed.
   */
  async load(): Promise<LoadedState> {
    if (this.#lock !== undefined) throw new StateError('The state is loaded already.')
    const problems: string[] = []
    await this.#prepareFolder(problems)
    this.#lock = await StateLock.take(this.#folder)
    try {
      const current = await readGeneration(this.#current)
      const previous = await readGeneration(this.#previous)
      await this.#removeLeftovers()
      for (const [file, found] of [
        [this.#current, current],
        [this.#previous, previous],
      ] as const) {
        if (found.kind === 'damaged') problems.push(await this.#moveAside(file, found.reason))
      }
      if (current.kind === 'good') return { state: current.state, source: 'current', problems }
      if (previous.kind === 'good') {
        if (current.kind === 'missing') problems.push('state.json is missing.')
        problems.push('The previous generation is used; the last change may be lost.')
        return { state: previous.state, source: 'previous', problems }
      }
      if (current.kind === 'damaged' || previous.kind === 'damaged') {
        problems.push('No usable state is left, so no model is restored.')
      }
      return { state: { models: [] }, source: 'empty', problems }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /**
   * Writes the state; resolves when it, or a newer one, is on the disk. All saves during one write
   * become a single write.
   * @throws StateError if it cannot be written; the state before stays.
   */
  async save(state: ServerState): Promise<void> {
    if (this.#lock === undefined) throw new StateError('The state is not loaded.')
    const text = encodeState(state, new Date().toISOString())
    if (Buffer.byteLength(text) > MAX_STATE_BYTES)
      throw new StateError(`The state is larger than the limit of ${MAX_STATE_BYTES} bytes.`)
    if (this.#waiting !== undefined) {
      this.#waiting.text = text
      return this.#waiting.done
    }
    const done = this.#writing.then(() => {
      this.#waiting = undefined
      return this.#write(waiting.text)
    })
    const waiting: WaitingSave = { text, done }
    this.#waiting = waiting
    // The next write starts even if this one fails; the callers of this one get its error.
    this.#writing = done.catch(() => {})
    return done
  }

  /** Waits for the last save and releases the folder. May be called more than once. */
  async close(): Promise<void> {
    await this.#writing
    await this.#lock?.release()
    this.#lock = undefined
  }

  /**
   * The contents of both files during a write, as generations:
   *
   *              state.json   state.previous.json
   *   before     N            N-1
   *   copied     N            N          a hard link to the same file
   *   renamed    N+1          N
   */
  async #write(text: string): Promise<void> {
    let isReplaced = false
    try {
      const current = await readGeneration(this.#current)
      if (current.kind === 'good') await replaceByCopy(this.#current, this.#previous)
      if (current.kind === 'damaged')
        this.#report(await this.#moveAside(this.#current, current.reason))
      await writeFileAtomic(this.#current, text, { mode: 0o600, fsync: true })
      isReplaced = true
      await this.#checkSize(text)
      await syncFolder(this.#folder)
    } catch (cause) {
      if (isReplaced) await this.#takeBack()
      if (cause instanceof StateError) throw cause
      throw new StateError(`The state cannot be saved: ${messageOf(cause)}`, { cause })
    }
  }

  /** A full disk may write only a part of a text and report success. */
  async #checkSize(text: string): Promise<void> {
    const { size } = await stat(this.#current)
    if (size === Buffer.byteLength(text)) return
    throw new StateError('The state was written only in part; the disk may be full.')
  }

  /**
   * Restores the state before: the caller learns that the change failed, so the next start must not
   * use it.
   */
  async #takeBack(): Promise<void> {
    try {
      await rm(this.#current)
      if (existsSync(this.#previous)) await replaceByCopy(this.#previous, this.#current)
    } catch (error) {
      this.#report(`The previous state could not be restored: ${messageOf(error)}`)
    }
  }

  async #prepareFolder(problems: string[]): Promise<void> {
    try {
      // `mkdir` applies the mode, minus the umask, to every folder that it creates; only the last
      // one must be private.
      const made = await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      if (made !== undefined) return await chmod(this.#folder, 0o700)
      const { mode } = await stat(this.#folder)
      if ((mode & 0o022) !== 0) {
        problems.push(
          `Other users can write to the state folder ${this.#folder}; run chmod 700 on it.`,
        )
      }
    } catch (cause) {
      throw new StateError(`State folder ${this.#folder} cannot be created: ${messageOf(cause)}`, {
        cause,
      })
    }
  }

  /** Removes incomplete files of a server that was killed. */
  async #removeLeftovers(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (isLeftover(name, [this.#current, this.#previous])) {
        await rm(path.join(this.#folder, name), { force: true })
      }
    }
  }

  async #moveAside(file: string, reason: string): Promise<string> {
    const time = new Date().toISOString().replaceAll(':', '-')
    const kept = await moveToFreeName(file, path.join(this.#folder, `state.damaged-${time}`))
    return `${path.basename(file)} is damaged (${reason}). It was renamed to ${path.basename(kept)}.`
  }
}

/** @throws StateError for a file that must not be changed. */
async function readGeneration(file: string): Promise<Generation> {
  const text = await readPlainFile(file)
  if (text === undefined) return { kind: 'missing' }
  const decoded = decodeState(text)
  if (decoded.kind !== 'newer') return decoded
  throw new StateError(
    `${file} has schema version ${decoded.schemaVersion}; this onnxd reads ${SCHEMA_VERSION}. ` +
      'Use the version of onnxd that wrote it, or another state folder. Nothing was changed.',
  )
}
