/** Compares the outputs of a model under different conditions. */
import { compareResponses } from '../../comparison/compare.ts'
import type { Prediction } from '../scheduling/queue/job.ts'

const HTTP_ERROR = 400
/**
 * Optimized operators add numbers in another order. Larger differences than these change what a
 * client sees.
 */
const TOLERANCE = { absolute: 1e-3, relative: 1e-2 }

/** The first difference between two lists of responses; `undefined` if they agree. */
export function differenceOf(
  reference: readonly Prediction[],
  candidate: readonly Prediction[],
): string | undefined {
  for (const [index, one] of reference.entries()) {
    const other = candidate[index]
    if (other === undefined) return 'a response is missing'
    const { agrees, reason } = compareResponses(one, other, { tolerance: TOLERANCE })
    if (!agrees) return reason ?? 'the responses differ'
  }
  return undefined
}

/** The text of the first error among responses; `undefined` if all requests succeeded. */
export function errorOf(predictions: readonly Prediction[]): string | undefined {
  const failed = predictions.find(({ status }) => status >= HTTP_ERROR)
  if (failed === undefined) return undefined
  const text = failed.body.toString('utf8')
  try {
    const body: unknown = JSON.parse(text)
    const { message, error }: { message?: unknown; error?: unknown } = { ...(body as object) }
    const reason = message ?? error
    return typeof reason === 'string' ? reason.slice(0, 300) : `status ${failed.status}`
  } catch {
    return text.slice(0, 300) || `status ${failed.status}`
  }
}
