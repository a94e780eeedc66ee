/** Reads an ensemble of Triton as a pipeline. */
import type { PipelineSettings } from '../../../model-folder/pipeline-settings.ts'
import type { Fields } from './protobuf-fields.ts'

/**
 * Reads `ensemble_scheduling`. The maps of a step lead from the names of its model to those of the
 * ensemble.
 */
export function readEnsemble(root: Fields): PipelineSettings | undefined {
  const scheduling = root.message('ensemble_scheduling')
  if (scheduling === undefined) return undefined
  const steps = scheduling.messages('step').map((step) => {
    const version = step.integer('model_version', -1, 2 ** 53 - 1) ?? -1
    return {
      model: step.string('model_name') ?? '',
      // -1 is the latest version.
      ...(version >= 0 && { version: String(version) }),
      inputs: readMap(step, 'input_map'),
      outputs: readMap(step, 'output_map'),
    }
  })
  const outputs = root.messages('output').flatMap((tensor) => tensor.string('name') ?? [])
  return { steps, ...(outputs.length > 0 && { outputs }) }
}

function readMap(step: Fields, name: string): Record<string, string> {
  const entries = step
    .messages(name)
    .map((entry): [string, string] => [entry.string('key') ?? '', entry.string('value') ?? ''])
  return Object.fromEntries(entries)
}
