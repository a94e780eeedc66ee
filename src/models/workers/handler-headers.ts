/** The headers that TorchServe's front-end adds to a request for a handler. */
import type { WireDialect, WireHeader } from '../../worker/wire/messages.ts'
import type { PredictOptions } from '../scheduling/predict-options.ts'

/** `True` asks the handler to explain its prediction, `False` asks for the prediction. */
const EXPLAIN = 'explain'
/** The end of the path after model and version. onnxd has no such paths. */
const URL_PATH = 'url_path'

/**
 * Adds the headers for a request that is to be explained, and for each request to TorchServe's
 * worker. The client's own headers of these names are removed.
 * @param dialect The server whose Python worker runs the model.
 */
export function withHandlerHeaders(
  headers: readonly WireHeader[],
  dialect: WireDialect | undefined,
  { explains = false }: Pick<PredictOptions, 'explains'>,
): readonly WireHeader[] {
  if (!explains && dialect !== 'torchserve') return headers
  return [
    ...headers.filter(([name]) => name !== EXPLAIN && name !== URL_PATH),
    [URL_PATH, ''],
    [EXPLAIN, explains ? 'True' : 'False'],
  ]
}
