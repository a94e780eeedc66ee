import { ServerError } from '../../../errors.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import { JOIN_BATCHES } from '../../../model-folder/version-settings.ts'

/** Reads onnxd's own parameter from Triton's map. @throws ServerError `InvalidModelException`. */
export function joinBatchesIn({
  parameters,
}: {
  readonly parameters: ReadonlyMap<string, string>
}): Pick<ModelSettings, 'joinBatches'> {
  const text = parameters.get('joinBatches')
  if (text === undefined) return {}
  const joinBatches = JOIN_BATCHES.find((value) => value === text)
  if (joinBatches !== undefined) return { joinBatches }
  const wanted = `one of ${JOIN_BATCHES.join(', ')}`
  throw new ServerError(
    'InvalidModelException',
    `config.pbtxt: the parameter "joinBatches" must be ${wanted}, got ${JSON.stringify(text)}.`,
  )
}
