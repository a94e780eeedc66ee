/** The headers that TorchServe adds to a request for a handler. */
import { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Header } from '../../models/scheduling/queue/job.ts'

/** `True` asks the handler to explain its prediction, `False` asks for the prediction. */
const EXPLAIN = 'explain'
/** The end of the path after model and version. onnxd has no such paths. */
const URL_PATH = 'url_path'

/**
 * Adds the headers for a request that is to be explained, and for each request to TorchServe's
 * worker. The client's own headers of these names are removed.
 */
export function withHandlerHeaders(
  headers: Header[],
  { pythonDialect }: ModelVersion,
  explains: boolean,
): Header[] {
  if (!explains && pythonDialect !== 'torchserve') return headers
  return [
    ...headers.filter(([name]) => name !== EXPLAIN && name !== URL_PATH),
    [URL_PATH, ''],
    [EXPLAIN, explains ? 'True' : 'False'],
  ]
}

/**
 * Returns a model that may explain predictions: one with a custom handler.
 * @throws ServerError `ResourceNotFoundException` (404) for other models.
 */
export function explaining(model: ModelVersion): ModelVersion {
  if (model.hasHandler) return model
  const text = `Model ${model.name} has no explanations: it has no custom handler.`
  throw new ServerError('ResourceNotFoundException', text)
}
