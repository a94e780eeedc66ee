import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { ServerError } from '../errors.ts'
import { UnwantedLoadError } from '../models/loading/loads.ts'
import type { Load, LoadedIdentity } from '../models/loading/loads.ts'
import type { Registry } from '../models/registry.ts'
import type { Shadow } from '../models/shadow/shadow-settings.ts'
import { discard, prepareAgain } from '../models/sources/prepare.ts'
import type { PreparedModel, SourceOptions } from '../models/sources/prepare.ts'
import { Registrations, currentState } from './desired-state.ts'
import type { DesiredState, DesiredVersion } from './desired-state.ts'
import { planOf } from './plan.ts'
import type { Step } from './plan.ts'

/** Models that are changed at the same time, as at the start of a server. */
const PARALLEL = 2
/** The same for models that load on demand: only their files are read. */
const PARALLEL_ON_DEMAND = 16

/** A newer state that makes a failure meaningless comes within this time. */
const NEWER_STATE_MS = 500

/** What {@link Reconciler} needs from its process. */
export interface ReconcilerContext {
  readonly registry: Registry
  readonly sources: SourceOptions
  /** Whether models load on demand by default. */
  readonly isOnDemand: boolean
  /** Time for accepted requests when a model is unregistered. */
  readonly drainMs: number
  /** Called after each step. */
  readonly onProgress: () => void
  readonly onApplied: (state: DesiredState) => void
  /** The models cannot be brought into the newest state. */
  readonly onFailed: (error: unknown) => void
  /** Called when workers cannot be scaled; those that could load the model serve. */
  readonly onScalingFailed: (name: string, version: string, error: unknown) => void
}

/** Brings the models of an HTTP process into the state that process 0 has sent last. */
export class Reconciler {
  readonly #context: ReconcilerContext
  readonly #registrations = new Registrations()
  /** Running loads, by the registrations that they are for. */
  readonly #loads = new Map<Load, readonly number[]>()
  #newest: DesiredState = { revision: 0, names: [], loading: [], judged: [] }
  #isRunning = false
  #isStopped = false

  constructor(context: ReconcilerContext) {
    this.#context = context
  }

  /** Takes a newer state. Loads that it does not need are aborted. */
  want(state: DesiredState): void {
    this.#newest = state
    // Until they are served here, requests for them are told to come again.
    this.#context.registry.loads.elsewhere = [...state.loading, ...identitiesOf(state)]
    const ids = new Set(state.names.flatMap(({ versions }) => versions.map(({ id }) => id)))
    for (const [load, needed] of this.#loads)
      if (!needed.every((id) => ids.has(id))) void load.abort(new UnwantedLoadError('loaded'))
    if (!this.#isRunning && !this.#isStopped) void this.#run()
  }

  /** Begins no further step. */
  stop(): void {
    this.#isStopped = true
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    let state: DesiredState | undefined
    while (state !== this.#newest && !this.#isStopped) {
      state = this.#newest
      try {
        await this.#apply(state)
        if (state === this.#newest) this.#context.onApplied(state)
      } catch (error) {
        // A newer state may not have what could not be loaded. It may also be on its way: the files
        // of a model that is unregistered are removed.
        await delay(NEWER_STATE_MS)
        if (state !== this.#newest || this.#isStopped) continue
        this.#isStopped = true
        this.#context.onFailed(error)
      }
    }
    this.#isRunning = false
  }

  async #apply(state: DesiredState): Promise<void> {
    const { registry, isOnDemand, onProgress } = this.#context
    const current = currentState(registry, this.#registrations)
    const plans = planOf(current, state.names, haveSameOptions).values()
    const problems: unknown[] = []
    const isOver = (): boolean => state !== this.#newest || this.#isStopped || problems.length > 0
    const work = async (): Promise<void> => {
      for (const steps of plans) {
        for (const step of steps) {
          if (isOver()) return
          await this.#make(step)
          onProgress()
        }
      }
    }
    const workers = Array.from({ length: isOnDemand ? PARALLEL_ON_DEMAND : PARALLEL }, () =>
      work().catch((error: unknown) => void problems.push(error)),
    )
    await Promise.all(workers)
    if (problems.length > 0) throw problems[0]
  }

  async #make(step: Step<DesiredVersion>): Promise<void> {
    const { registry, drainMs } = this.#context
    const { name } = step
    switch (step.kind) {
      case 'register':
        return this.#register(step.version)
      case 'reload':
        return this.#reload(name, step.versions)
      case 'unregister':
        return registry.unregister(name, drainMs)
      case 'unregister version':
        return registry.unregisterVersion(name, step.version, drainMs)
      case 'default':
        return registry.setDefault(name, step.version, false)
      case 'route':
        await registry.routing.set(name, step.routing ?? {}, false)
        return
      case 'shadow':
        return this.#setShadow(name, step.shadow)
      case 'scale':
        return this.#scale(name, step.version)
    }
  }

  async #register(version: DesiredVersion): Promise<void> {
    const prepared = await this.#prepare(version)
    const registration = { options: version.options, origin: 'restored' } as const
    const load = await this.#context.registry.begin([prepared], registration)
    await this.#follow(load, [version])
  }

  async #reload(name: string, versions: readonly DesiredVersion[]): Promise<void> {
    const options = versions[0]?.options ?? {}
    const registration = { options, origin: 'restored' } as const
    const load = this.#context.registry.reload(name, registration, (signal) =>
      Promise.all(versions.map((version) => this.#prepare(version, signal))),
    )
    await this.#follow(load, versions)
  }

  async #follow(load: Load, wanted: readonly DesiredVersion[]): Promise<void> {
    this.#loads.set(
      load,
      wanted.map(({ id }) => id),
    )
    try {
      for (const model of await load.done) {
        const found = wanted.find(({ version }) => version === model.version)
        if (found !== undefined) this.#registrations.set(model, found.id)
      }
    } finally {
      this.#loads.delete(load)
    }
  }

  /** @throws ServerError if the files are not those that process 0 has registered. */
  async #prepare(wanted: DesiredVersion, signal?: AbortSignal): Promise<PreparedModel> {
    const { sources } = this.#context
    const { place, unpacksLater, fingerprint, version } = wanted
    const all = await prepareAgain(place, {
      ...sources,
      unpacksLater,
      ...(signal !== undefined && { signal }),
    })
    const found = all.find((prepared) => prepared.version === version)
    if (found !== undefined && found.files?.fingerprint === fingerprint) return found
    await Promise.all(all.map((prepared) => discard(prepared)))
    throw new ServerError(
      'ConflictStatusException',
      `The files of model ${place.name ?? ''} changed after its registration. Load or register the model again to serve the new files.`,
    )
  }

  async #setShadow(name: string, shadow: Shadow | undefined): Promise<void> {
    const { shadows } = this.#context.registry
    if (shadow !== undefined) await shadows.set(name, shadow, false)
    // It is gone already if its version is.
    else if (shadows.all.some((one) => one.name === name)) await shadows.remove(name)
  }

  async #scale(name: string, { version, limits }: DesiredVersion): Promise<void> {
    if (limits === undefined) return
    try {
      const { done } = await this.#context.registry
        .get(name, version)
        .scale(limits, async (apply) => void apply())
      await done
    } catch (error) {
      this.#context.onScalingFailed(name, version, error)
    }
  }
}

function identitiesOf({ names }: DesiredState): LoadedIdentity[] {
  return names.flatMap(({ name, versions }) => versions.map(({ version }) => ({ name, version })))
}

function haveSameOptions(versions: readonly DesiredVersion[]): boolean {
  const [first, ...others] = versions
  return others.every(({ options }) => isDeepStrictEqual(options, first?.options))
}
