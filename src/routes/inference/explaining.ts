import { ServerError } from '../../errors.ts'
import { BUILT_IN_HANDLERS } from '../../model-folder/files.ts'
import { PIPELINE_HANDLER } from '../../model-folder/pipeline.ts'
import type { ModelVersion } from '../../models/model-version.ts'

/**
 * Returns a model that may explain predictions: one with a custom handler.
 * @throws ServerError `ResourceNotFoundException` (404) for other models.
 */
export function explaining(model: ModelVersion): ModelVersion {
  const { handler } = model.settings
  if (!BUILT_IN_HANDLERS.includes(handler) && handler !== PIPELINE_HANDLER) return model
  const text = `Model ${model.name} has no explanations: it has no custom handler.`
  throw new ServerError('ResourceNotFoundException', text)
}
