/** How the keys of an ensemble differ in their use from those of a model. */
import type { ReportContext } from './config-report.ts'
import type { ModelConfig } from './model-config.ts'

const NO_FILE = 'an ensemble has no model file'
const OF_STEPS = 'it belongs to the models of the steps'

/** Keys that have no effect in an ensemble. */
const UNUSED: Readonly<Record<string, string>> = {
  default_model_filename: NO_FILE,
  runtime: NO_FILE,
  cc_model_filenames: NO_FILE,
  optimization: OF_STEPS,
  model_warmup: OF_STEPS,
  'input.format': OF_STEPS,
  'input.reshape': OF_STEPS,
  'output.reshape': OF_STEPS,
  'output.label_filename': 'the labels are those of the models of the steps',
  parameters: 'an ensemble joins no requests',
}

const USED: Readonly<Record<string, string>> = {
  input: 'the inputs of the pipeline; the models of the steps must fit',
  output: 'the outputs of the pipeline; the models of the steps must fit',
}

/** Returns an empty object for a model that is no ensemble. */
export function ensembleUse({ ensemble }: ModelConfig): Pick<ReportContext, 'used' | 'unused'> {
  return ensemble === undefined ? {} : { used: USED, unused: UNUSED }
}
