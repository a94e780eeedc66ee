import path from 'node:path'
import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Registry } from '../registry.ts'
import { prepareDelivery, prepareFromUrl } from '../sources/prepare.ts'
import type { SourceOptions } from '../sources/prepare.ts'
import type { Deliveries } from '../transfers/model-files.ts'
import { SavedRoutings } from './saved-routings.ts'
import { SavedShadows } from './saved-shadows.ts'
import type { StateFile } from './state-file.ts'
import type { Adjustment, StoredModel } from './state-format.ts'

/** What {@link Persistence} needs from the server. */
export interface PersistenceContext {
  readonly registry: Registry
  readonly deliveries: Deliveries
  readonly sources: SourceOptions
  readonly log: Logger
}

/**
 * Saves models that were registered over REST, and changes of the start's models, in the state
 * file. The next start registers and changes them again.
 */
export class Persistence {
  readonly #file: StateFile
  readonly #context: PersistenceContext
  /**
   * Models that could not be restored. They stay in the file until somebody removes or replaces
   * them.
   */
  #missing: StoredModel[] = []
  /** Changes of models that this start has not loaded. The next start may load them. */
  #unused: Adjustment[] = []
  readonly #shadows: SavedShadows
  readonly #routings: SavedRoutings

  constructor(file: StateFile, context: PersistenceContext) {
    this.#file = file
    this.#context = context
    this.#shadows = new SavedShadows(context.registry, context.log)
    this.#routings = new SavedRoutings(context.registry, context.log)
  }

  /**
   * Registers the models of the saved state. A model that fails is listed as failed; the others are
   * served.
   * @param signal Aborted when the server stops; then the state is not changed.
   * @throws StateError if the state must not be changed.
   */
  async restore(signal: AbortSignal): Promise<void> {
    const { registry, deliveries, log } = this.#context
    const { state, source, problems } = await this.#file.load()
    for (const problem of problems) log.error({ problem }, 'state file')
    const kept = state.models.flatMap(({ file }) => (file === undefined ? [] : [file]))
    // If part of the state was lost, a file without a model in the rest may still be needed.
    if (problems.length === 0) await deliveries.removeOthers(new Set(kept))
    this.#missing = [...state.models]
    this.#unused = [...(state.adjustments ?? [])]
    this.#shadows.read(state.shadows)
    this.#routings.take(state)
    registry.changes.save = () => this.#save()
    for (const stored of state.models) {
      if (signal.aborted) return
      // A request may have removed it meanwhile.
      if (!this.#missing.includes(stored)) continue
      try {
        await this.#restoreOne(stored, signal)
        this.#missing = this.#missing.filter((other) => other !== stored)
      } catch (error) {
        if (signal.aborted) return
        const { reason, log: stderr } = registry.failures.record(stored.url, error, [stored])
        log.error({ model: stored.name, reason, stderr }, 'model could not be restored')
      }
    }
    await this.#adjust(signal)
    await this.#shadows.restore()
    await this.#routings.restore()
    if (signal.aborted) return
    log.info(
      { source, models: state.models.length, missing: this.#missing.length },
      'state restored',
    )
    await this.#saveEarlyChanges()
  }

  /** Changes made before the state was read are not in the file yet. */
  async #saveEarlyChanges(): Promise<void> {
    const { registry, log } = this.#context
    if (registry.all.every(({ origin }) => origin !== 'request')) return
    try {
      await this.#save()
    } catch (error) {
      log.error({ problem: messageOf(error) }, 'state file')
    }
  }

  /**
   * Removes models of a name that could not be restored. Returns whether there were any.
   * @throws ServerError if the change could not be saved; then nothing is removed.
   */
  async forget(name: string): Promise<boolean> {
    const { changes, failures } = this.#context.registry
    if (this.#missing.every((stored) => stored.name !== name)) return false
    await changes.make(() => {
      const missing = this.#missing
      const unused = this.#unused
      this.#missing = missing.filter((stored) => stored.name !== name)
      this.#unused = unused.filter((adjustment) => adjustment.name !== name)
      const undoShadows = this.#shadows.forget(name)
      const restoreRoutings = this.#routings.forget(name)
      return () => {
        undoShadows()
        this.#missing = missing
        this.#unused = unused
        restoreRoutings()
      }
    })
    failures.forget(name)
    return true
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #restoreOne(stored: StoredModel, signal: AbortSignal): Promise<void> {
    const { registry, deliveries, sources } = this.#context
    const { url, name, version, options, file, sha256, isDefault } = stored
    if (registry.has(name, version)) return
    const { handler, runtime } = options
    const unpacksLater = options.loadOnDemand === true
    const named = { ...sources, name, version, handler, runtime, signal, unpacksLater }
    const prepared =
      file === undefined
        ? await prepareFromUrl(url, named)
        : await prepareDelivery(await deliveries.kept(file, sha256), url, named, true)
    await registry.register(prepared, { options, origin: 'restored' })
    if (isDefault) await registry.setDefault(name, version, false)
  }

  async #save(): Promise<void> {
    const { registry } = this.#context
    const isAbsent = ({ name, version }: Pick<StoredModel, 'name' | 'version'>): boolean =>
      !registry.has(name, version)
    const missing = this.#missing.filter(isAbsent)
    const unused = this.#unused.filter(isAbsent)
    const registered = registry.all.filter(({ origin }) => origin !== 'start')
    const adjusted = registry.all.filter(
      (model) =>
        model.origin === 'start' && (model.wanted.isScaled || registry.isChosenDefault(model)),
    )
    await this.#file.save({
      models: [...registered.map((model) => this.#toStored(model)), ...missing],
      adjustments: [...adjusted.map((model) => this.#toAdjustment(model)), ...unused],
      shadows: this.#shadows.all,
      ...this.#routings.current,
    })
    // Set only after saving: a change that could not be saved is reverted, and then these models
    // are missing again.
    this.#missing = missing
    this.#unused = unused
  }

  /**
   * Repeats earlier changes of the start's models. Changes of models that are not loaded stay
   * unused.
   */
  async #adjust(signal: AbortSignal): Promise<void> {
    const { registry, log } = this.#context
    for (const { name, version, workers, isDefault } of this.#unused) {
      const model = registry.has(name, version) ? registry.get(name, version) : undefined
      if (model?.origin !== 'start') continue
      if (isDefault) await registry.setDefault(name, version, false)
      if (workers === undefined) continue
      try {
        const { done } = await model.scale(workers, applyAtOnce)
        await done
      } catch (error) {
        if (signal.aborted) return
        log.error({ model: name, version, reason: messageOf(error) }, 'scaling failed')
      }
    }
    this.#unused = this.#unused.filter(({ name, version }) => !registry.has(name, version))
  }

  #toAdjustment(model: ModelVersion): Adjustment {
    const { name, version } = model
    const { min, max, isScaled } = model.wanted
    return {
      name,
      version,
      workers: isScaled ? { min, max } : undefined,
      isDefault: this.#context.registry.isChosenDefault(model),
    }
  }

  #toStored(model: ModelVersion): StoredModel {
    const { prepared, options, wanted, name, version } = model
    const { url, delivery } = prepared
    return {
      url,
      name,
      version,
      options: { ...options, workers: wanted.min },
      isDefault: this.#context.registry.isDefault(model),
      sha256: delivery?.sha256,
      file: delivery === undefined ? undefined : path.basename(delivery.folder),
    }
  }
}

/** A change from the state is not saved again. */
async function applyAtOnce(apply: () => unknown): Promise<void> {
  apply()
}
