/** Measures how many requests a worker serves. */
import type { ExampleRequest } from './example-requests.ts'
import type { MeasuredSpeed } from './report.ts'
import type { TrialWorker } from './trial-worker.ts'

const MAX_MS = 500
const MIN_BATCHES = 3
/** Time before the measurement, in proportion to it. */
const WARM_UP_SHARE = 0.2

/** Sends one batch after the other, for at most `ms` milliseconds but at least three batches. */
export async function measureSpeed(
  worker: Pick<TrialWorker, 'send'>,
  requests: readonly ExampleRequest[],
  batch: number,
  ms: number,
): Promise<Omit<MeasuredSpeed, 'threads'>> {
  const sent = Array.from(
    { length: batch },
    (_, index) => requests[index % requests.length],
  ).filter((request) => request !== undefined)
  // The first batches allocate memory that the others use again, and their code is compiled.
  const warmUpEnd = performance.now() + Math.min(ms, MAX_MS) * WARM_UP_SHARE
  do await worker.send(sent)
  while (performance.now() < warmUpEnd)
  const times: number[] = []
  const begun = performance.now()
  const end = begun + Math.min(ms, MAX_MS)
  let now = begun
  while (now < end || times.length < MIN_BATCHES) {
    await worker.send(sent)
    const after = performance.now()
    times.push(after - now)
    now = after
  }
  const sorted = times.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0
  return {
    batch,
    // The median leaves out pauses of other processes.
    requestsPerSecond: Number(((batch * 1000) / Math.max(median, 1e-6)).toPrecision(3)),
    msPerBatch: Number(median.toPrecision(3)),
  }
}
