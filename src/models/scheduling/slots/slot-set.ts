import { RestartPolicy } from './backoff.ts'
import { Slot } from './slot.ts'
import type { SlotContext } from './slot.ts'

/** What the slots of a pool need from it. */
export type SlotSetOptions = Omit<SlotContext, 'restarts'>

/** The slots of one pool, each with one worker. Adds, replaces and retires them. */
export class SlotSet {
  readonly #slots: Slot[] = []
  /** Slots whose first worker is not ready yet. */
  readonly #starting = new Set<Slot>()
  /** Slots that were scaled away and whose worker has not exited yet. */
  readonly #retiring = new Set<Slot>()
  readonly #restarts = new RestartPolicy()
  readonly #context: SlotContext
  #lastId = 0

  constructor(options: SlotSetOptions) {
    this.#context = { ...options, restarts: this.#restarts }
  }

  get all(): readonly Slot[] {
    return this.#slots
  }

  /** Number of workers that can take work. */
  get readyWorkers(): number {
    return this.#slots.filter((slot) => slot.worker.state === 'ready').length
  }

  /** True after repeated deaths, while no worker is ready and one is started only now and then. */
  get hasFailed(): boolean {
    return this.#restarts.hasGivenUp && this.readyWorkers === 0
  }

  /** Why a worker last died; empty if unknown. */
  get lastFailure(): string {
    return this.#slots.find((slot) => slot.lastFailure)?.lastFailure ?? ''
  }

  /**
   * Adds slots up to `count`, or retires the newest ones. Resolves when all new workers are ready
   * and the retired ones have exited. A retired worker has at most `drainMs` to finish its batches.
   * Rejects with the first failure to load; that slot is removed.
   */
  async scale(count: number, drainMs: number): Promise<void> {
    const retired = this.#slots.splice(count)
    // Deaths before the last stop say nothing about workers that are started later.
    if (count === 0) this.#restarts.reset()
    const missing = Math.max(0, count - this.#slots.length)
    const added = Array.from({ length: missing }, () => this.#add())
    const outcomes = await Promise.allSettled([
      ...added,
      ...retired.map((slot) => this.#retire(slot, drainMs)),
    ])
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  /**
   * Replaces a slot by a new one. The new worker is ready before the old one gets no more work.
   * @throws ServerError if the new worker cannot load the model; the old one stays.
   */
  async replace(slot: Slot, drainMs: number): Promise<void> {
    await this.#add()
    const index = this.#slots.indexOf(slot)
    if (index === -1) return
    this.#slots.splice(index, 1)
    await this.#retire(slot, drainMs)
  }

  /**
   * Stops workers that load the model for the first time. Their callers get an error that says so.
   */
  stopStarting(): void {
    for (const slot of this.#starting) void slot.retire(0)
  }

  /** Stops every worker now, also those that are being retired. */
  async close(): Promise<void> {
    await Promise.all([...this.#slots, ...this.#retiring].map((slot) => slot.retire(0)))
  }

  /** Adds a slot and resolves when its first worker is ready. */
  async #add(): Promise<void> {
    const slot = new Slot(++this.#lastId, this.#context)
    this.#slots.push(slot)
    this.#starting.add(slot)
    try {
      await slot.start()
    } catch (error) {
      const index = this.#slots.indexOf(slot)
      if (index !== -1) this.#slots.splice(index, 1)
      this.#context.onChange()
      throw error
    } finally {
      this.#starting.delete(slot)
    }
  }

  /** Ends a slot that is no longer in the list, after its worker has finished its batches. */
  async #retire(slot: Slot, drainMs: number): Promise<void> {
    this.#retiring.add(slot)
    this.#context.onChange()
    await slot.retire(drainMs)
    this.#retiring.delete(slot)
  }
}
