/** The cached weights of one model version. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { SharedWeights } from '../../contract/shared-weights.ts'
import { isPresent } from './entry-state.ts'

/** After so many changes of the files within an hour the original model is loaded. */
const MAX_CHANGES = 5
const HOUR_MS = 3_600_000
const POSTPONED = 'Workers load the original model until shared weights are prepared.'

/** Files to map, or why the model is loaded without the cache. */
export type PreparedWeights = CachedWeights | { readonly reason: string }

/** A checked entry of the cache. */
export interface CachedWeights extends SharedWeights {
  readonly key: string
  /** Whether the entry was built for this call. */
  readonly isNew?: boolean
}

/** Whether workers share the weights of a version; shown in its description. */
export interface WeightStatus {
  /**
   * The form that the next worker loads. `pending` until the first load, and while an entry is
   * prepared after it.
   */
  readonly state: 'shared' | 'private' | 'pending'
  /** Size of the shared files in bytes. */
  readonly bytes?: number
  /** Why the workers have copies of their own. */
  readonly reason?: string
}

/** What a version needs from the cache. */
export interface VersionWeightsOptions {
  /** Finds an entry that was checked before; `undefined` if it has to be checked or built. */
  readonly findChecked: () => Promise<PreparedWeights | undefined>
  /** Finds and checks an entry, but builds none; `undefined` if there is none. */
  readonly find: (signal: AbortSignal) => Promise<PreparedWeights | undefined>
  /** Finds, checks or builds the entry. */
  readonly prepare: (signal: AbortSignal) => Promise<PreparedWeights>
  /** The same, when the machine has nothing else to do. */
  readonly prepareLater: (signal: AbortSignal) => Promise<PreparedWeights>
  /** Called when the version begins and stops to use an entry. */
  readonly hold: (key: string) => void
  readonly release: (key: string) => void
  /** Maximum time that the start of a worker waits for a new entry. */
  readonly maxWaitMs: number
  readonly log: Logger
}

/** Says which files each worker of a version loads. */
export class VersionWeights {
  readonly #options: VersionWeightsOptions
  readonly #closing = new AbortController()
  #last: PreparedWeights | undefined
  /** Whether the entry is checked or built after the load, which does not wait for it. */
  #isPostponed = false
  /** Workers that start at the same time wait for the same entry. */
  #preparing: Promise<void> | undefined
  /** When files were found to be changed, on the clock of `performance.now()`. */
  #changes: readonly number[] = []

  constructor(options: VersionWeightsOptions) {
    this.#options = options
  }

  get status(): WeightStatus {
    const last = this.#last
    if (last === undefined)
      return this.#isPostponed ? { state: 'pending', reason: POSTPONED } : { state: 'pending' }
    if ('reason' in last) return { state: 'private', reason: last.reason }
    const bytes = Number(last.model.state.size) + Number(last.weights.state.size)
    return { state: 'shared', bytes }
  }

  /** Whether the workers load an entry that the cache had before. */
  get isCached(): boolean {
    return this.#last !== undefined && 'key' in this.#last && this.#last.isNew !== true
  }

  /**
   * Finds or builds the entry. Never rejects: without an entry the workers load the original.
   * @param signal Stops waiting.
   */
  async prepare(signal: AbortSignal): Promise<void> {
    const { log, prepare } = this.#options
    const both = AbortSignal.any([signal, this.#closing.signal])
    const next = await prepare(both)
    if (both.aborted) return
    this.#isPostponed = false
    this.#use(next)
    if ('reason' in next) log.debug({ reason: next.reason }, 'weights are not shared')
    else log.info({ key: next.key.slice(0, 12) }, 'workers share the weights of the model')
  }

  /**
   * As {@link prepare}, but for a load that a request waits for: it uses only an entry that was
   * checked before. {@link prepareLater} must be called after the load.
   */
  async useChecked(): Promise<void> {
    this.#useOrPostpone(await this.#options.findChecked())
  }

  /**
   * As {@link useChecked}, but also checks an entry that other servers have built. Never rejects.
   * @param signal Stops waiting.
   */
  async usePresent(signal: AbortSignal): Promise<void> {
    const both = AbortSignal.any([signal, this.#closing.signal])
    const found = await this.#options.find(both)
    if (!both.aborted) this.#useOrPostpone(found)
  }

  #useOrPostpone(found: PreparedWeights | undefined): void {
    if (this.#closing.signal.aborted) return
    this.#isPostponed = found === undefined
    this.#use(found)
  }

  /** Checks or builds the entry for the next load, if it was postponed. Never rejects. */
  async prepareLater(): Promise<void> {
    if (!this.#isPostponed) return
    const { log, prepareLater } = this.#options
    const next = await prepareLater(this.#closing.signal)
    // Another load may have prepared it meanwhile.
    if (this.#closing.signal.aborted || !this.#isPostponed) return
    this.#isPostponed = false
    this.#use(next)
    if ('reason' in next) log.debug({ reason: next.reason }, 'weights are not shared')
    else log.info({ key: next.key.slice(0, 12) }, 'the next load shares the weights of the model')
  }

  #use(next: PreparedWeights | undefined): void {
    const last = this.#last
    if (last !== undefined && 'key' in last) this.#options.release(last.key)
    if (next !== undefined && 'key' in next) this.#options.hold(next.key)
    this.#last = next
  }

  /**
   * Returns the files that the next worker loads; `undefined` for those of the original model.
   * @param canWait Whether other workers serve, so that this one can wait for a new entry.
   */
  async forWorker(canWait = false): Promise<SharedWeights | undefined> {
    if (this.#isPostponed && !canWait) return undefined
    const isMissing = this.#last === undefined
    const isChanged = this.#last !== undefined && 'key' in this.#last && !isPresent(this.#last)
    if (isMissing || isChanged) {
      this.#preparing ??= this.#prepareAgain(isChanged).finally(() => (this.#preparing = undefined))
      await this.#preparing
    }
    const last = this.#last
    return last !== undefined && 'key' in last && isPresent(last) ? last : undefined
  }

  /** Ends the process that prepares an entry, unless another version needs the same entry. */
  stopPreparing(): void {
    this.#closing.abort()
  }

  close(): void {
    this.stopPreparing()
    this.#use(undefined)
  }

  async #prepareAgain(isChanged: boolean): Promise<void> {
    const last = this.#last
    if (isChanged && last !== undefined && 'key' in last) {
      const now = performance.now()
      this.#changes = [...this.#changes.filter((at) => now - at < HOUR_MS), now]
      const { log, release } = this.#options
      log.warn({ key: last.key.slice(0, 12) }, 'files of the weight cache were changed or removed')
      if (this.#changes.length >= MAX_CHANGES) {
        release(last.key)
        this.#last = {
          reason: `The cached files were changed ${MAX_CHANGES} times within an hour.`,
        }
        return
      }
    }
    await this.#prepareInTime()
  }

  /** A worker that waits longer than its load timeout would be killed. */
  async #prepareInTime(): Promise<void> {
    const late = new AbortController()
    const waiting = delay(this.#options.maxWaitMs, undefined, { ref: false, signal: late.signal })
    await Promise.race([this.prepare(this.#closing.signal), waiting.catch(() => {})])
    late.abort()
  }
}
