/** Reports how the keys of the `config.pbtxt` of a model were used. */
import { isNetworkFile } from '../../../model-folder/paths.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import { reportOf } from './config-report.ts'
import type { ConfigKey } from './config-report.ts'
import { ensembleUse } from './ensemble-report.ts'
import { MODEL_CONFIG_FILE, changesOf } from './model-config.ts'
import type { ModelConfig } from './model-config.ts'

/**
 * @param settings The settings of the file.
 * @param stronger Settings that override them.
 * @param hasHandler Whether a custom handler runs the model.
 */
export function reportOfFile(
  config: ModelConfig,
  settings: ModelSettings,
  stronger: ModelSettings,
  hasHandler: boolean,
): ConfigKey[] {
  const file = config.default_model_filename
  const backend = 'the custom handler runs the model'
  // A handler or the pipeline of model.json may run the model in place of the ensemble.
  const isEnsemble = !hasHandler && stronger.pipeline === undefined
  const { unused, used = {} } = isEnsemble ? ensembleUse(config) : {}
  return reportOf(config.message, {
    from: MODEL_CONFIG_FILE,
    settings,
    stronger,
    changes: changesOf(config),
    used,
    unused: {
      ...(file !== undefined &&
        !isNetworkFile(file) && { default_model_filename: 'it is not a .onnx file' }),
      ...unused,
      ...(hasHandler && { backend, platform: backend, ensemble_scheduling: backend }),
    },
  })
}
