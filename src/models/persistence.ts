import path from 'node:path'
import type { Logger } from 'pino'
import { messageOf } from '../errors.ts'
import type { Deliveries } from './deliveries.ts'
import type { ModelVersion } from './model-version.ts'
import type { Registry } from './registry.ts'
import { prepareDelivery, prepareFromUrl } from './source.ts'
import type { SourceOptions } from './source.ts'
import type { StateFile } from './state-file.ts'
import type { Adjustment, StoredModel } from './state-format.ts'

/** What {@link Persistence} needs of the server. */
export interface PersistenceContext {
  readonly registry: Registry
  readonly deliveries: Deliveries
  readonly sources: SourceOptions
  readonly log: Logger
}

/**
 * Keeps in the state file what was registered over REST, and what was changed of the start's own models,
 * and does it again at the next start.
 */
export class Persistence {
  readonly #file: StateFile
  readonly #context: PersistenceContext
  /** What could not be restored this time. It stays in the file until somebody removes or replaces it. */
  #missing: StoredModel[] = []
  /** Changes of models that this start has not loaded. The next one may. */
  #unused: Adjustment[] = []

  constructor(file: StateFile, context: PersistenceContext) {
    this.#file = file
    this.#context = context
  }

  /**
   * Registers what the last server left. A model that fails is listed as failed and does not keep the
   * others from being served.
   * @throws StateError when the state must not be touched.
   */
  async restore(): Promise<void> {
    const { registry, deliveries, log } = this.#context
    const { state, source, problems } = await this.#file.load()
    for (const problem of problems) log.error({ problem }, 'state file')
    const kept = state.models.flatMap(({ file }) => (file === undefined ? [] : [file]))
    // Where part of the state was lost, a file that nobody refers to may still be wanted.
    if (problems.length === 0) await deliveries.removeOthers(new Set(kept))
    this.#missing = [...state.models]
    for (const stored of state.models) {
      try {
        await this.#restoreOne(stored)
        this.#missing = this.#missing.filter((other) => other !== stored)
      } catch (error) {
        const { reason, log: stderr } = registry.failures.record(stored.url, error, [stored])
        log.error({ model: stored.name, reason, stderr }, 'model could not be restored')
      }
    }
    this.#unused = await this.#adjust(state.adjustments ?? [])
    log.info(
      { source, models: state.models.length, missing: this.#missing.length },
      'state restored',
    )
    registry.onChange = () => this.#save()
  }

  /** Forgets what could not be restored under a name; says whether there was any. */
  async forget(name: string): Promise<boolean> {
    const others = this.#missing.filter((stored) => stored.name !== name)
    if (others.length === this.#missing.length) return false
    this.#missing = others
    this.#unused = this.#unused.filter((adjustment) => adjustment.name !== name)
    this.#context.registry.failures.forget(name)
    await this.#save()
    return true
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #restoreOne(stored: StoredModel): Promise<void> {
    const { registry, deliveries, sources } = this.#context
    const { url, name, version, options, file, sha256, isDefault } = stored
    if (registry.has(name, version)) return
    const { handler, runtime } = options
    const named = { ...sources, name, version, handler, runtime }
    const prepared =
      file === undefined
        ? await prepareFromUrl(url, named)
        : await prepareDelivery(await deliveries.kept(file, sha256), url, named, true)
    await registry.register(prepared, { options, origin: 'restored' })
    if (isDefault) await registry.setDefault(name, version)
  }

  async #save(): Promise<void> {
    const { registry } = this.#context
    this.#missing = this.#missing.filter(({ name, version }) => !registry.has(name, version))
    this.#unused = this.#unused.filter(({ name, version }) => !registry.has(name, version))
    const registered = registry.all.filter(({ origin }) => origin !== 'start')
    const adjusted = registry.all.filter(
      (model) => model.origin === 'start' && (model.isScaled || registry.isChosenDefault(model)),
    )
    await this.#file.save({
      models: [...registered.map((model) => this.#toStored(model)), ...this.#missing],
      adjustments: [...adjusted.map((model) => this.#toAdjustment(model)), ...this.#unused],
    })
  }

  /** Changes the start's models as requests did before, and returns what is for models that are not there. */
  async #adjust(adjustments: readonly Adjustment[]): Promise<Adjustment[]> {
    const { registry, log } = this.#context
    const unused: Adjustment[] = []
    for (const adjustment of adjustments) {
      const { name, version, workers, isDefault } = adjustment
      const model = registry.has(name, version) ? registry.get(name, version) : undefined
      if (model === undefined) {
        unused.push(adjustment)
      } else if (model.origin === 'start') {
        if (isDefault) await registry.setDefault(name, version)
        if (workers === undefined) continue
        try {
          await (
            await model.scale(workers.min, workers.max)
          ).done
        } catch (error) {
          log.error({ model: name, version, reason: messageOf(error) }, 'scaling failed')
        }
      }
    }
    return unused
  }

  #toAdjustment(model: ModelVersion): Adjustment {
    const { name, version, isScaled, minWorkers: min, maxWorkers: max } = model
    return {
      name,
      version,
      workers: isScaled ? { min, max } : undefined,
      isDefault: this.#context.registry.isChosenDefault(model),
    }
  }

  #toStored(model: ModelVersion): StoredModel {
    const { prepared, options, minWorkers, name, version } = model
    const { url, delivery } = prepared
    return {
      url,
      name,
      version,
      options: { ...options, workers: minWorkers },
      isDefault: this.#context.registry.isDefault(model),
      sha256: delivery?.sha256,
      file: delivery === undefined ? undefined : path.basename(delivery.folder),
    }
  }
}
