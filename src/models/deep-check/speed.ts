/** Measures how many requests a worker serves. */
import { availableParallelism } from 'node:os'
import type { ExampleRequest } from './example-requests.ts'
import type { MeasuredSpeed } from './report.ts'
import type { TrialWorker } from './trial-worker.ts'

const BATCHES = [1, 4, 16]
/** A longer measurement is not better. */
const MAX_MS = 300
const MIN_BATCHES = 3
/** Time before the measurement, in proportion to it. */
const WARM_UP_SHARE = 0.2

/** What to measure with one worker. */
export interface SpeedPlan {
  readonly requests: readonly ExampleRequest[]
  /** Whether requests may share a run. */
  readonly isSafe: boolean
  /** Threads of the worker. */
  readonly threads: number
  /** Time for all sizes of batches. */
  readonly ms: number
}

/** Numbers of threads to measure, with the present one. */
export function threadCounts(present: number): number[] {
  const cores = availableParallelism()
  return [...new Set([1, Math.min(2, cores), present, cores])].toSorted((a, b) => a - b)
}

/** Measures several sizes of batches, as far as the time allows. */
export async function measureSpeeds(
  worker: Pick<TrialWorker, 'send'>,
  { requests, isSafe, threads, ms }: SpeedPlan,
): Promise<MeasuredSpeed[]> {
  const batches = isSafe ? BATCHES : [1]
  const speeds: MeasuredSpeed[] = []
  let msPerRequest = 0
  for (const batch of batches) {
    // Batches of a slow model would take all of the time.
    if (speeds.length > 0 && msPerRequest * batch > ms) break
    const speed = await measureSpeed(worker, requests, batch, ms / batches.length)
    speeds.push({ threads, ...speed })
    msPerRequest = speed.msPerBatch / batch
  }
  return speeds
}

/** Sends one batch after the other, for about `ms` milliseconds at most. */
async function measureSpeed(
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
  const limit = Math.min(ms, MAX_MS)
  const begun = performance.now()
  let now = begun
  const times: number[] = []
  const sendOne = async (): Promise<void> => {
    const before = now
    await worker.send(sent)
    now = performance.now()
    times.push(now - before)
  }
  do await sendOne()
  while (now - begun < limit * WARM_UP_SHARE)
  // A batch of a slow model takes so long that the first one has to do.
  if (now - begun < ms) {
    times.length = 0
    const end = now + limit
    while (now < end || (times.length < MIN_BATCHES && now - begun < ms)) await sendOne()
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
