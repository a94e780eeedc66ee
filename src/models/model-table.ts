/** The served versions by model name, and the default version of each model. */
import { ServerError } from '../errors.ts'
import type { Undo } from './changes.ts'
import type { ModelVersion } from './model-version.ts'
import type { RolloutRecord } from './rollout/plan.ts'
import { refuseDuring, routingOf } from './rollout/rollout.ts'
import { VersionChooser } from './routing/choose-version.ts'
import { usesOf, withoutMissing } from './routing/routing.ts'
import type { Routing } from './routing/routing.ts'
import type { Shadow } from './shadow/shadow-settings.ts'
import { shownName } from './sources/model-name.ts'

interface ModelEntry {
  readonly versions: ReadonlyMap<string, ModelVersion>
  readonly defaultVersion: string
  /** Whether a request made it the default. */
  readonly isDefaultChosen: boolean
  /** Labels and weights; absent if there are none. */
  readonly chooser?: VersionChooser | undefined
  /** The version that gets copies of requests; absent if there is none. */
  readonly shadow?: Shadow | undefined
  /** The rollout that runs, or the last one; absent if there was none. */
  readonly rollout?: RolloutRecord | undefined
}

/** A table of models. Every change is one step and can be reverted. */
export class ModelTable {
  readonly #models = new Map<string, ModelEntry>()

  /** Names of the models, sorted. */
  get names(): string[] {
    return [...this.#models.keys()].toSorted()
  }

  /** Every version of every model. */
  get all(): ModelVersion[] {
    return [...this.#models.values()].flatMap(({ versions }) => [...versions.values()])
  }

  /** Whether a model, or a version of it, is in the table. */
  has(name: string, version?: string): boolean {
    const entry = this.#models.get(name)
    return entry !== undefined && (version === undefined || entry.versions.has(version))
  }

  /** Returns a version of a model, also by its label; the default version if none is given. */
  find(name: string, version?: string): ModelVersion | undefined {
    const entry = this.#models.get(name)
    const found = entry?.versions.get(version ?? entry.defaultVersion)
    if (found !== undefined || version === undefined) return found
    return entry?.versions.get(entry.chooser?.versionOf(version) ?? '')
  }

  /**
   * As {@link find}, with a version or label.
   * @throws ServerError `ModelNotFoundException`, `ModelVersionNotFoundException`.
   */
  existing(name: string, version: string): ModelVersion {
    this.versions(name)
    const found = this.find(name, version)
    if (found !== undefined) return found
    const text = `Model version: ${shownName(version)} does not exist for model: ${name}`
    throw new ServerError('ModelVersionNotFoundException', text)
  }

  /** Divides the requests of a model; `undefined` if it has no labels or weights. */
  chooser(name: string): VersionChooser | undefined {
    return this.#models.get(name)?.chooser
  }

  /** The rollouts of all models that have or had one. */
  get rollouts(): { readonly name: string; readonly rollout: RolloutRecord }[] {
    return [...this.#models].flatMap(([name, { rollout }]) =>
      rollout === undefined ? [] : [{ name, rollout }],
    )
  }

  /** The rollout of a model that runs, or its last one. */
  rollout(name: string): RolloutRecord | undefined {
    return this.#models.get(name)?.rollout
  }

  /** Sets the rollout of a model, and the routing and default version that follow from it. */
  rollOut(name: string, rollout: RolloutRecord): Undo {
    const routing = routingOf(rollout)
    const chooser = routing === undefined ? undefined : new VersionChooser(name, routing)
    const { to } = rollout.plan
    const isPromoted = rollout.state === 'promoted'
    return this.#change(name, (entry) => ({
      ...entry,
      chooser,
      rollout,
      ...(isPromoted && { defaultVersion: to, isDefaultChosen: true }),
    }))
  }

  /** Sets a rollout that has ended, and changes nothing else. */
  setRollout(name: string, rollout: RolloutRecord): Undo {
    return this.#change(name, (entry) => ({ ...entry, rollout }))
  }

  /**
   * Sets the labels and weights of a model; `undefined` removes them.
   * @throws ServerError `ConflictStatusException` during a rollout.
   */
  route(name: string, routing: Routing | undefined): Undo {
    refuseDuring(this.rollout(name), name)
    const chooser = routing === undefined ? undefined : new VersionChooser(name, routing)
    return this.#change(name, (entry) => ({ ...entry, chooser }))
  }

  /** The shadow of a model; `undefined` if it has none. */
  shadow(name: string): Shadow | undefined {
    return this.#models.get(name)?.shadow
  }

  /** Sets the shadow of a model; `undefined` removes it. */
  setShadow(name: string, shadow: Shadow | undefined): Undo {
    return this.#change(name, (entry) => ({ ...entry, shadow }))
  }

  /**
   * Returns the versions of a model, oldest registration first.
   * @throws ServerError `ModelNotFoundException`.
   */
  versions(name: string): readonly ModelVersion[] {
    const entry = this.#models.get(name)
    if (entry !== undefined) return [...entry.versions.values()]
    throw new ServerError('ModelNotFoundException', `Model not found: ${shownName(name)}`)
  }

  /** Whether requests without a version use this one. */
  isDefault({ name, version }: ModelVersion): boolean {
    return this.#models.get(name)?.defaultVersion === version
  }

  /** Whether a request made it the default. */
  isChosenDefault(model: ModelVersion): boolean {
    return this.isDefault(model) && this.#models.get(model.name)?.isDefaultChosen === true
  }

  /**
   * Returns a version if it can be removed.
   * @throws ServerError `InvalidModelVersionException` if the model has others, and this one is the
   * default or has a label or weight; `ConflictStatusException` during a rollout with it.
   */
  removable(model: ModelVersion): ModelVersion {
    const { name, version } = model
    const entry = this.#models.get(name)
    if (entry === undefined || entry.versions.size === 1) return model
    refuseDuring(entry.rollout, name, version)
    if (this.isDefault(model)) {
      const text = `Cannot remove default version for model ${name}`
      throw new ServerError('InvalidModelVersionException', text)
    }
    const [use] = entry.chooser === undefined ? [] : usesOf(entry.chooser.routing, version)
    if (use === undefined) return model
    throw new ServerError(
      'InvalidModelVersionException',
      `Cannot remove version ${version} of model ${name}: its routing has ${use}. Change the routing first.`,
    )
  }

  /**
   * Makes a version in the table the default, on request.
   * @throws ServerError `ConflictStatusException` during a rollout.
   */
  chooseDefault({ name, version }: ModelVersion): Undo {
    refuseDuring(this.rollout(name), name)
    return this.#change(name, (entry) => ({
      ...entry,
      defaultVersion: version,
      isDefaultChosen: true,
    }))
  }

  /**
   * Replaces versions of one model by others. If the default version is removed, the newest becomes
   * the default.
   */
  exchange(removed: readonly ModelVersion[], added: readonly ModelVersion[]): Undo {
    const [first] = [...added, ...removed]
    if (first === undefined) return () => {}
    return this.#change(first.name, (entry) => {
      const versions = new Map(entry.versions)
      for (const { version } of removed) versions.delete(version)
      for (const version of added) versions.set(version.version, version)
      const chooser = chooserOf(first.name, entry.chooser, versions)
      const shadow = versions.has(entry.shadow?.version ?? '') ? entry.shadow : undefined
      const left = { versions, chooser, shadow }
      if (versions.has(entry.defaultVersion)) return { ...entry, ...left }
      const newest = [...versions.keys()].at(-1) ?? ''
      return { ...entry, ...left, defaultVersion: newest, isDefaultChosen: false }
    })
  }

  clear(): void {
    this.#models.clear()
  }

  #change(name: string, change: (entry: ModelEntry) => ModelEntry): Undo {
    const before = this.#models.get(name)
    this.#put(
      name,
      change(before ?? { versions: new Map(), defaultVersion: '', isDefaultChosen: false }),
    )
    return () => this.#put(name, before)
  }

  #put(name: string, entry: ModelEntry | undefined): void {
    if (entry === undefined || entry.versions.size === 0) this.#models.delete(name)
    else this.#models.set(name, entry)
  }
}

/** The labels and weights of the versions that are left. */
function chooserOf(
  name: string,
  chooser: VersionChooser | undefined,
  versions: ReadonlyMap<string, ModelVersion>,
): VersionChooser | undefined {
  if (chooser === undefined) return undefined
  const left = withoutMissing(chooser.routing, (version) => versions.has(version))
  return left === undefined ? undefined : new VersionChooser(name, left)
}
