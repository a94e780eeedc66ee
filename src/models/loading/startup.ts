/** Loads the models of the start: those of the command line and those of the model store. */
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Registry } from '../registry.ts'
import { prepareFromArgument, prepareFromUrl } from '../sources/prepare.ts'
import type { PreparedModel, SourceOptions } from '../sources/prepare.ts'
import { listStore } from '../sources/store/listing.ts'
import type { FailedModel } from './failures.ts'
import { watchModels } from './file-watch.ts'

/** Models that load at the same time. More would only compete for the cores. */
const PARALLEL_LOADS = 2
/**
 * Models that are registered at the same time if they load on demand: only their files are read.
 */
const PARALLEL_REGISTRATIONS = 16

/** Result of the start, in the order of the models. */
export interface StartupResult {
  readonly loaded: readonly ModelVersion[]
  readonly failed: readonly FailedModel[]
}

/** What {@link loadStartupModels} needs from the server. */
export interface StartupContext {
  readonly config: Config
  readonly sources: SourceOptions
  readonly registry: Registry
  readonly log: Logger
  /** When it is aborted, no further model is begun and unpacking stops. */
  readonly signal: AbortSignal
}

interface ModelToLoad {
  readonly label: string
  readonly prepare: () => Promise<PreparedModel[]>
}

/**
 * Loads the models of the store that `load` selects, and the MODEL arguments. Failures are
 * recorded, not thrown.
 */
export async function loadStartupModels(
  models: readonly string[],
  { config, sources, registry, log, signal }: StartupContext,
): Promise<StartupResult> {
  const stoppable = { ...sources, signal }
  const wanted = [...(await storeModels(config, stoppable)), ...argumentModels(models, stoppable)]
  if (config.watch) watchModels({ registry, sources, log, signal })
  const results: (readonly ModelVersion[] | FailedModel)[] = []
  const queue = wanted.entries()
  const loadNext = async (): Promise<void> => {
    for (const [index, { label, prepare }] of queue) {
      if (signal.aborted) return
      let prepared: PreparedModel[] = []
      try {
        prepared = await prepare()
        const versions = await registry.register(prepared, { options: {}, origin: 'start' })
        results[index] = versions
      } catch (error) {
        // The load was aborted because the server stops. The model itself is not broken.
        if (signal.aborted) return
        const failure = registry.failures.record(label, error, prepared)
        results[index] = failure
        const { reason, log: stderr } = failure
        log.error({ model: label, reason, stderr }, 'model failed to load')
      }
    }
  }
  const parallel = config.load === 'on-demand' ? PARALLEL_REGISTRATIONS : PARALLEL_LOADS
  await Promise.all(Array.from({ length: parallel }, loadNext))
  return {
    loaded: results.flatMap((result) => ('reason' in result ? [] : result)),
    failed: results.flatMap((result) => ('reason' in result ? [result] : [])),
  }
}

function argumentModels(models: readonly string[], sources: SourceOptions): ModelToLoad[] {
  return models.map((label) => ({ label, prepare: () => prepareFromArgument(label, sources) }))
}

async function storeModels(
  { modelStore, load }: Config,
  sources: SourceOptions,
): Promise<ModelToLoad[]> {
  if (modelStore === '' || load === 'none') return []
  const listed = load.split(',').map((name) => name.trim())
  const isWholeStore = load === 'all' || load === 'on-demand'
  const names = isWholeStore ? await listStore(modelStore) : listed.filter((name) => name !== '')
  const options = { ...sources, unpacksLater: load === 'on-demand' }
  return names.map((label) => ({ label, prepare: () => prepareFromUrl(label, options) }))
}
