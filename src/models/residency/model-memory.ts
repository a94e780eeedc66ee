/**
 * Decides which of the models that load on demand are in memory: loads them for waiting requests,
 * and unloads others when the memory budget is used up.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { ServerError } from '../../errors.ts'
import { memoryLimitBytes } from '../../system/machine-memory.ts'
import type { EvictionCause } from '../metrics/causes.ts'
import { EvictionPolicy } from './eviction-policy.ts'
import { LoadTurns } from './load-turns.ts'

const MIB = 1024 * 1024
/** A model stays at least this long, so that it can serve the requests that wanted it. */
const LEAST_STAY_MS = 1000
/** Interval at which a load that finds no room looks again. */
const LOOK_AGAIN_MS = 50
/** Interval at which the memory of loaded models is measured, because it grows with requests. */
const MEASURE_MS = 10_000

/** A model version that loads on demand. */
export interface Loadable {
  readonly name: string
  readonly version: string
  /** Whether it is never evicted. */
  readonly isPinned: boolean
  /** Whether a request waits for it. */
  readonly isWanted: boolean
  /** Whether a request waits for it or runs. */
  readonly isBusy: boolean
  /** Whether its workers are ready and nobody has stopped them. */
  readonly isLoaded: boolean
  /** Starts the workers. @throws ServerError with the reason. */
  start(): Promise<void>
  /** Returns the memory of the running workers in bytes. */
  measure(): Promise<number>
  /** Stops the workers. */
  unload(cause: EvictionCause): Promise<void>
}

/** Default budget: this share of the memory of the control group or the machine. */
const SHARE = 0.5

/** Returns the options that follow from the settings of the server. */
export function memorySettings({
  modelMemoryMib,
  unloadAfterSeconds,
}: Config): Omit<ModelMemoryOptions, 'log'> {
  return {
    budgetBytes: modelMemoryMib > 0 ? modelMemoryMib * MIB : memoryLimitBytes() * SHARE,
    idleMs: unloadAfterSeconds * 1000,
  }
}

/** Options of {@link ModelMemory}. */
export interface ModelMemoryOptions {
  /** Memory for the models that load on demand. */
  readonly budgetBytes: number
  /** Unload a model after this time without a request; 0 for never. */
  readonly idleMs: number
  /** A model stays at least this long; default 1 s. */
  readonly leastStayMs?: number | undefined
  readonly log: Logger
}

/** What the manager knows of a loaded model. */
interface Stay {
  /** When it was loaded, on the clock of `performance.now()`. */
  readonly since: number
  /** When a request last came, on the same clock. */
  lastUse: number
  bytes: number
}

/** The models that load on demand. The server has one. */
export class ModelMemory {
  readonly budgetBytes: number
  readonly #idleMs: number
  readonly #leastStayMs: number
  readonly #log: Logger
  readonly #policy = new EvictionPolicy<Loadable>()
  readonly #turns = new LoadTurns(() => this.#warn())
  readonly #loaded = new Map<Loadable, Stay>()
  readonly #evictedAt = new WeakMap<Loadable, number>()
  /** Memory of models that are being loaded or unloaded. */
  #reservedBytes = 0
  readonly #timer: NodeJS.Timeout

  constructor({ budgetBytes, idleMs, leastStayMs = LEAST_STAY_MS, log }: ModelMemoryOptions) {
    this.budgetBytes = budgetBytes
    this.#idleMs = idleMs
    this.#leastStayMs = leastStayMs
    this.#log = log
    const interval = idleMs === 0 ? MEASURE_MS : Math.min(MEASURE_MS, Math.max(100, idleMs / 4))
    this.#timer = setInterval(() => void this.#lookAfter(), interval).unref()
  }

  /** Memory of the loaded models, in bytes, and of those that are being loaded. */
  get usedBytes(): number {
    let bytes = this.#reservedBytes
    for (const stay of this.#loaded.values()) bytes += stay.bytes
    return bytes
  }

  get loadedModels(): number {
    return this.#loaded.size
  }

  /** Whether most of the time goes into loading models that were evicted shortly before. */
  get isThrashing(): boolean {
    return this.#turns.isThrashing
  }

  /** A request came for a model. */
  recordUse(model: Loadable): void {
    const stay = this.#loaded.get(model)
    if (stay === undefined) return
    stay.lastUse = performance.now()
    this.#policy.recordUse(model)
  }

  /**
   * Loads a model as soon as it has its turn and its memory. Does nothing if no request waits for
   * it then.
   * @param estimateBytes Memory that it will probably occupy.
   * @throws ServerError of the start; `InsufficientMemoryException` if it can never fit.
   */
  async load(model: Loadable, estimateBytes: number): Promise<void> {
    await this.#turns.take(async () => {
      if (!(await this.#reserve(model, estimateBytes))) return
      const begun = performance.now()
      try {
        await model.start()
        if (model.isLoaded) this.#add(model, performance.now() - begun, estimateBytes)
      } finally {
        // In the same step as the addition, so that no other load sees room between the two.
        this.#reservedBytes -= estimateBytes
      }
    })
    // It may occupy more than was expected.
    await this.#measure(model)
    await this.#shrink()
  }

  /** A model was unregistered, or its workers were stopped by a request. */
  remove(model: Loadable): void {
    this.#loaded.delete(model)
    this.#policy.remove(model)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /**
   * Reserves `bytes`, and unloads models until they are free. Waits while all loaded models are in
   * use.
   * @returns False if no request waits for the model any more.
   */
  async #reserve(model: Loadable, bytes: number): Promise<boolean> {
    if (bytes > this.budgetBytes) throw this.#tooLarge(model, bytes)
    for (;;) {
      if (!model.isWanted) return false
      if (this.usedBytes + bytes <= this.budgetBytes) {
        // At once, so that no other load takes the same room.
        this.#reservedBytes += bytes
        return true
      }
      if (!(await this.#evictOne())) await delay(LOOK_AGAIN_MS)
    }
  }

  /** Unloads models while the budget is exceeded and one can be unloaded. */
  async #shrink(): Promise<void> {
    while (this.usedBytes > this.budgetBytes) if (!(await this.#evictOne())) return
  }

  /** Unloads the model that is cheapest to lose, if one can be unloaded. */
  async #evictOne(): Promise<boolean> {
    const loadedBefore = performance.now() - this.#leastStayMs
    const victim = this.#policy.order.find((model) => {
      const stay = this.#loaded.get(model)
      return stay !== undefined && stay.since <= loadedBefore && !model.isPinned && !model.isBusy
    })
    if (victim === undefined) return false
    this.#policy.evict(victim)
    await this.#unload(victim, 'memory')
    return true
  }

  async #unload(model: Loadable, cause: EvictionCause): Promise<void> {
    const bytes = this.#loaded.get(model)?.bytes ?? 0
    this.#loaded.delete(model)
    this.#evictedAt.set(model, performance.now())
    // Its memory is free when its processes have exited.
    this.#reservedBytes += bytes
    try {
      await model.unload(cause)
    } finally {
      this.#reservedBytes -= bytes
    }
  }

  /** Measures the loaded models, unloads idle ones, and returns to the budget. */
  async #lookAfter(): Promise<void> {
    for (const [model, stay] of this.#loaded) {
      const isIdle = this.#idleMs > 0 && performance.now() - stay.lastUse >= this.#idleMs
      if (isIdle && !model.isPinned && !model.isBusy) {
        this.#policy.remove(model)
        await this.#unload(model, 'idle')
        continue
      }
      await this.#measure(model)
    }
    await this.#shrink()
  }

  #add(model: Loadable, loadMs: number, bytes: number): void {
    const now = performance.now()
    this.#loaded.set(model, { since: now, lastUse: now, bytes })
    this.#policy.add(model, loadMs, bytes)
    this.#turns.recordLoad(loadMs, this.#evictedAt.get(model))
  }

  async #measure(model: Loadable): Promise<void> {
    const bytes = await model.measure()
    const stay = this.#loaded.get(model)
    // A model that was unloaded meanwhile has no memory, and one whose workers restart will have.
    if (stay === undefined || bytes === 0) return
    stay.bytes = bytes
    this.#policy.resize(model, bytes)
  }

  #warn(): void {
    this.#log.warn(
      { memoryBudgetMib: inMib(this.budgetBytes), loaded: this.#loaded.size },
      'models are loaded again soon after they were unloaded; loads are slowed down. Raise modelMemoryMib, or serve fewer models',
    )
  }

  #tooLarge({ name }: Loadable, bytes: number): ServerError {
    const text = `Model ${name} needs about ${inMib(bytes)} MiB of memory, and the models of this server may use ${inMib(this.budgetBytes)} MiB (modelMemoryMib).`
    return new ServerError('InsufficientMemoryException', text)
  }
}

function inMib(bytes: number): number {
  return Math.ceil(bytes / MIB)
}
