/** What a worker of our own is told beside the load request, as JSON in its environment. */
import type { Config } from '../../config/config.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import { MODEL_CONFIG_FILE } from '../sources/config-pbtxt/model-config.ts'
import type { PreparedModel } from '../sources/prepare.ts'

/** The options of one worker; `worker/process/start/options.ts` reads them. */
export function workerOptions(
  config: Config,
  { version, settings, settingsFrom, reshapes, files }: PreparedModel,
  { maxBatchSize, joinBatches, threads }: EffectiveSettings,
): Record<string, unknown> {
  const { graphOptimization, providers, warmUp, allowHandlers } = config
  const { maxResponseBytes, maxJsonBytes, maxBodyBytes } = config
  return {
    threads,
    graphOptimization,
    providers,
    warmUp,
    allowHandlers,
    maxResponseBytes,
    maxJsonBytes,
    maxBodyBytes,
    modelVersion: version,
    maxBatchSize,
    joinBatches,
    // To Triton a configuration with a `max_batch_size` of 0 says that there is no batch dimension.
    hasBatchDimension: maxBatchSize > 0 || settingsFrom.maxBatchSize !== MODEL_CONFIG_FILE,
    reshapes,
    labels: settings.labels ?? '',
    root: files?.root ?? '',
  }
}
