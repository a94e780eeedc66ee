/** Options for onnxd's own worker besides the load request, as JSON in its environment. */
import type { Config } from '../../config/config.ts'
import { BUILT_IN_HANDLERS } from '../../model-folder/files.ts'
import { PIPELINE_HANDLER } from '../../model-folder/pipeline.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import { MODEL_CONFIG_FILE } from '../sources/config-pbtxt/model-config.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { WEIGHTS_FILE } from './worker-files.ts'
import type { WorkerFiles } from './worker-files.ts'

/** Time for the worker of a pipeline to respond when its calls have failed. */
const GRACE_MS = 5000

/**
 * Returns the options of one worker; `worker/process/start/options.ts` reads them.
 * @param files What the worker does besides serving, as in {@link WorkerFiles}.
 */
export function workerOptions(
  config: Config,
  { version, settings, settingsFrom, reshapes, files }: PreparedModel,
  effective: EffectiveSettings,
  { profile = '', overrides = {} }: Pick<WorkerFiles, 'profile' | 'overrides'>,
): Record<string, unknown> {
  const { maxBatchSize, joinBatches, threads } = effective
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
    // In Triton, a configuration with `max_batch_size: 0` has no batch dimension.
    hasBatchDimension: maxBatchSize > 0 || settingsFrom.maxBatchSize !== MODEL_CONFIG_FILE,
    reshapes,
    labels: settings.labels ?? '',
    root: files?.root ?? '',
    weights: WEIGHTS_FILE,
    profile,
    pipeline: settings.pipeline ?? null,
    streams: true,
    // Processes for custom handlers inherit the channel as this descriptor.
    calls: isBuiltIn(effective) ? 0 : 3,
    overrides,
  }
}

/**
 * Time after which a worker that has not responded is killed, in milliseconds. A pipeline only
 * waits for others: the front-end ends its calls when the time is over, and the worker responds.
 */
export function workerTimeoutMs({ handler, responseTimeoutMs }: EffectiveSettings): number {
  return handler === PIPELINE_HANDLER ? responseTimeoutMs + GRACE_MS : responseTimeoutMs
}

/** Whether a model runs without code of its own. */
export function isBuiltIn({ handler }: Pick<EffectiveSettings, 'handler'>): boolean {
  return BUILT_IN_HANDLERS.includes(handler)
}

/** Whether a model runs code that is not onnxd's. */
export function runsCode(
  model: Pick<PreparedModel, 'hasCode' | 'handler'>,
  handler: string,
): boolean {
  if (model.handler === PIPELINE_HANDLER && handler === PIPELINE_HANDLER) return false
  return model.hasCode || !BUILT_IN_HANDLERS.includes(handler)
}
