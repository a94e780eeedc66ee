/** A loaded model as the policy sees it. */
interface Entry {
  readonly loadMs: number
  bytes: number
  uses: number
  priority: number
}

/**
 * Orders loaded models by what it costs to lose them: Greedy-Dual-Size-Frequency (Cherkasova,
 * 1998). The priority of a model is `clock + uses × load time ÷ memory`. The clock rises to the
 * priority of each evicted model, so models that were used long ago lose against models that are
 * used now.
 *
 * Plain LRU would keep a large model that was used once rather than ten small ones that are used
 * every minute.
 */
export class EvictionPolicy<K> {
  readonly #entries = new Map<K, Entry>()
  /** Uses of models that are not loaded, at the time of their eviction. */
  readonly #pastUses = new Map<K, number>()
  #clock = 0

  /**
   * Adds a model that was just loaded.
   * @param loadMs Time that loading it took, in milliseconds.
   * @param bytes Memory that it occupies.
   */
  add(key: K, loadMs: number, bytes: number): void {
    const pastUses = this.#pastUses.get(key) ?? 0
    this.#pastUses.delete(key)
    const entry: Entry = { loadMs, bytes, uses: 1 + pastUses / 2, priority: 0 }
    entry.priority = this.#priorityOf(entry)
    this.#entries.set(key, entry)
  }

  /** A request used a loaded model. */
  recordUse(key: K): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.uses += 1
    entry.priority = this.#priorityOf(entry)
  }

  /** Changes the memory that a loaded model occupies. */
  resize(key: K, bytes: number): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.bytes = bytes
  }

  /** Removes a model that was unloaded to make room for another one. */
  evict(key: K): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#clock = Math.max(this.#clock, entry.priority)
    this.#pastUses.set(key, entry.uses)
    this.#entries.delete(key)
  }

  /** Forgets a model. */
  remove(key: K): void {
    this.#entries.delete(key)
    this.#pastUses.delete(key)
  }

  /** The loaded models; the one that is cheapest to lose comes first. */
  get order(): readonly K[] {
    return [...this.#entries]
      .toSorted(([, one], [, other]) => one.priority - other.priority)
      .map(([key]) => key)
  }

  #priorityOf({ uses, loadMs, bytes }: Entry): number {
    return this.#clock + (uses * loadMs) / Math.max(bytes, 1)
  }
}
