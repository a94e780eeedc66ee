/** Suggests settings from measured speeds. */
import type { GrowingReport, MeasuredSpeed, Suggestion } from './report.ts'

/** Smaller gains do not justify more threads or larger batches. */
const NOTEWORTHY_GAIN = 1.15

/** Settings that the model has now. */
interface PresentSettings {
  readonly threads: number
  readonly batchSize: number
  /** Absent if the model does not set it. */
  readonly graphOptimization: string | undefined
}

/** Returns `undefined` if the present settings are the best ones of those that were measured. */
export function adviceFor(
  { speeds, isOptimizationWrong = false }: GrowingReport,
  present: PresentSettings,
): Suggestion | undefined {
  const settings: { -readonly [K in keyof Suggestion['settings']]: Suggestion['settings'][K] } = {}
  const reasons: string[] = []
  const threads = bestThreads(speeds)
  if (threads !== undefined && threads.threads !== present.threads) {
    settings.threads = threads.threads
    reasons.push(threads.reason)
  }
  const batch = bestBatch(speeds, threads?.threads ?? present.threads)
  if (batch !== undefined && batch.batch > present.batchSize) {
    settings.batchSize = batch.batch
    reasons.push(batch.reason)
  }
  if (isOptimizationWrong && present.graphOptimization !== 'disabled') {
    settings.graphOptimization = 'disabled'
    reasons.push('graphOptimization: the outputs differ with graph optimization.')
  }
  return reasons.length === 0 ? undefined : { settings, reasons }
}

/** The smallest number of threads from which more threads do not help. */
function bestThreads(
  speeds: readonly MeasuredSpeed[],
): { readonly threads: number; readonly reason: string } | undefined {
  const single = speeds.filter(({ batch }) => batch === 1).toSorted((a, b) => a.threads - b.threads)
  const [first, ...others] = single
  if (first === undefined || others.length === 0) return undefined
  let best = first
  for (const one of others)
    if (one.requestsPerSecond > best.requestsPerSecond * NOTEWORTHY_GAIN) best = one
  const most = single.at(-1) ?? first
  const reason =
    best === first
      ? `threads: ${most.threads} threads are only ${ratio(most, first)} × as fast as 1; use more workers for more requests at a time.`
      : `threads: ${best.threads} threads are ${ratio(best, first)} × as fast as ${first.threads}.`
  return { threads: best.threads, reason }
}

/** The smallest batch from which larger batches do not help. */
function bestBatch(
  speeds: readonly MeasuredSpeed[],
  threads: number,
): { readonly batch: number; readonly reason: string } | undefined {
  const measured = speeds
    .filter((one) => one.threads === threads)
    .toSorted((a, b) => a.batch - b.batch)
  const [single] = measured
  if (single === undefined) return undefined
  let best = single
  for (const one of measured)
    if (one.requestsPerSecond > best.requestsPerSecond * NOTEWORTHY_GAIN) best = one
  if (best === single) return undefined
  const reason = `batchSize: batches of ${best.batch} serve ${ratio(best, single)} × the requests of single ones.`
  return { batch: best.batch, reason }
}

function ratio(one: MeasuredSpeed, other: MeasuredSpeed): string {
  return (one.requestsPerSecond / Math.max(other.requestsPerSecond, 1e-9)).toFixed(1)
}
