/** The models that every HTTP process has to serve, as process 0 serves them. */
import type { Config } from '../config/config.ts'
import type { VersionOptions } from '../models/effective-settings.ts'
import type { LoadedIdentity } from '../models/loading/loads.ts'
import type { ModelVersion } from '../models/model-version.ts'
import type { Registry } from '../models/registry.ts'
import type { JudgedVersion, VersionReport } from '../models/rollout/reporter.ts'
import { isActive } from '../models/rollout/rollout.ts'
import type { Routing } from '../models/routing/routing.ts'
import type { Shadow } from '../models/shadow/shadow-settings.ts'
import type { Place } from '../models/sources/prepare.ts'

/** The number of workers that a request has set. */
export interface Limits {
  readonly min: number
  readonly max: number
}

/** A version of a model in one process. */
export interface VersionState {
  readonly version: string
  /** Number of its registration in process 0. A version that is loaded again has a new one. */
  readonly id: number
  /** Absent if no request has scaled it. */
  readonly limits?: Limits | undefined
}

/** A model in one process. */
export interface NameState<V extends VersionState = VersionState> {
  readonly name: string
  readonly defaultVersion: string
  /** Oldest registration first. */
  readonly versions: readonly V[]
  /** Absent if there are no labels and weights. */
  readonly routing?: Routing | undefined
  /** Absent if no version gets copies of requests. */
  readonly shadow?: Shadow | undefined
}

/** A version that is to be served, with everything that is needed to register it. */
export interface DesiredVersion extends VersionState {
  readonly options: VersionOptions
  readonly place: Place
  /** Whether its archive is unpacked at the first load. */
  readonly unpacksLater: boolean
  /** Of its files when process 0 registered it; absent for a file from the network. */
  readonly fingerprint?: string | undefined
}

/** All models that are to be served. */
export interface DesiredState {
  /** Counts the changes. */
  readonly revision: number
  readonly names: readonly NameState<DesiredVersion>[]
  /** Models that process 0 loads, and does not serve yet. */
  readonly loading: readonly LoadedIdentity[]
  /** Versions whose requests rollouts judge. Each process reports them to process 0. */
  readonly judged: readonly JudgedVersion[]
}

/** Gives each registration its number. */
export class Registrations {
  readonly #ids = new WeakMap<ModelVersion, number>()
  #last = 0

  /** Returns the number of a version; a new one if it has none. */
  idOf(model: ModelVersion): number {
    const id = this.#ids.get(model) ?? ++this.#last
    this.#ids.set(model, id)
    return id
  }

  /** Returns a served version by its number. */
  find(registry: Registry, name: string, id: number): ModelVersion | undefined {
    if (!registry.has(name)) return undefined
    return registry.versions(name).find((model) => this.#ids.get(model) === id)
  }

  /** Sets the number of a version that another process has given. */
  set(model: ModelVersion, id: number): void {
    this.#ids.set(model, id)
  }
}

/**
 * Describes what process 0 serves, for the other processes.
 * @param onUnshared Called with each model that is not from files, and so is left out.
 */
export function desiredState(
  registry: Registry,
  registrations: Registrations,
  revision: number,
  onUnshared: (name: string) => void,
): DesiredState {
  const names = namesOf(registry, (model) => desiredVersion(model, registrations))
  const shared = names.filter(({ name, versions }) => {
    const isShared = versions.every(({ place }) => place !== undefined)
    if (!isShared) onUnshared(name)
    return isShared
  })
  const loading = registry.loading.map(({ name, version }) =>
    version === undefined ? { name } : { name, version },
  )
  const judged = judgedVersions(registry, registrations)
  return { revision, names: shared as readonly NameState<DesiredVersion>[], loading, judged }
}

/** Adds what another process has seen of versions that rollouts judge. */
export function judge(
  registry: Registry,
  registrations: Registrations,
  reports: readonly VersionReport[],
): void {
  for (const report of reports) {
    // It may report a version that was replaced meanwhile.
    const model = registrations.find(registry, report.name, report.id)
    if (model !== undefined) registry.rollouts.add(model, report)
  }
}

/** Time for one step of a change, in addition to the load timeout and the drain timeout. */
const STEP_MARGIN_MS = 10_000

/**
 * Returns the time for one step towards the desired state, in milliseconds. The longest load
 * timeout decides: a model can have its own.
 */
export function stepMs({ loadTimeout, drainTimeout }: Config, registry: Registry): number {
  const timeouts = registry.all.map(({ settings }) => settings.startupTimeoutMs)
  return Math.max(loadTimeout * 1000, ...timeouts) + drainTimeout * 1000 + STEP_MARGIN_MS
}

/** Describes what this process serves. */
export function currentState(registry: Registry, registrations: Registrations): NameState[] {
  return namesOf(registry, (model) => versionState(model, registrations))
}

function judgedVersions(registry: Registry, registrations: Registrations): JudgedVersion[] {
  return registry.rollouts.all.flatMap(({ name, rollout }) => {
    if (!isActive(rollout)) return []
    const { plan, from, step } = rollout
    return registry
      .versions(name)
      .filter(({ version }) => version === plan.to || from.includes(version))
      .map((model) => ({ name, version: model.version, id: registrations.idOf(model), step }))
  })
}

function namesOf<V extends VersionState>(
  registry: Registry,
  describe: (model: ModelVersion) => V,
): NameState<V>[] {
  const routings = new Map(registry.routing.all.map(({ name, routing }) => [name, routing]))
  const shadows = new Map(registry.shadows.all.map(({ name, shadow }) => [name, shadow]))
  return registry.names.map((name) => {
    const models = registry.versions(name).filter(({ version }) => registry.has(name, version))
    const chosen = models.find((model) => registry.isDefault(model))
    const routing = routings.get(name)
    const shadow = shadows.get(name)
    return {
      name,
      defaultVersion: chosen?.version ?? '',
      versions: models.map((model) => describe(model)),
      ...(routing !== undefined && { routing }),
      ...(shadow !== undefined && { shadow }),
    }
  })
}

function versionState(model: ModelVersion, registrations: Registrations): VersionState {
  const { min, max, isScaled } = model.wanted
  const id = registrations.idOf(model)
  return { version: model.version, id, ...(isScaled && { limits: { min, max } }) }
}

function desiredVersion(
  model: ModelVersion,
  registrations: Registrations,
): Omit<DesiredVersion, 'place'> & { readonly place: Place | undefined } {
  const { name, version, prepared, options } = model
  const { place, archive, files } = prepared
  return {
    ...versionState(model, registrations),
    options,
    place: place && { ...place, name, version },
    unpacksLater: archive !== undefined,
    ...(files !== undefined && { fingerprint: files.fingerprint }),
  }
}
