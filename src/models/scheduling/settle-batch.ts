import type { FirstPart } from '../../worker/host/batch-streams.ts'
import { WorkerDiedError, replyError } from '../../worker/host/outcomes.ts'
import type { WorkerReply } from '../../worker/wire/messages.ts'
import type { VersionMetrics } from '../metrics/version-metrics.ts'
import type { CrashList } from './crash-list.ts'
import type { PoolOptions } from './pool-options.ts'
import type { QueuedJob } from './queue/queued-job.ts'

/**
 * Gives each job of a batch its part of the worker's reply. An error code of the reply applies to
 * every job of the batch; MMS responds only to the first.
 */
export function settleBatch(
  jobs: readonly QueuedJob[],
  reply: WorkerReply,
  crashes: CrashList,
): void {
  for (const [index, { job }] of jobs.entries()) {
    crashes.recordSuccess(job)
    if (job.isSettled) continue
    const prediction = reply.predictions[index]
    if (reply.code === 200 && prediction !== undefined) job.resolve(prediction)
    else job.reject(replyError(reply))
  }
}

/**
 * Gives a job the first part of its response, while its batch is still at the worker.
 * @param metrics Counts the stream.
 * @param takenAt When the worker got the batch, on the clock of `performance.now()`.
 */
export function beginResponse(
  { job, timing }: QueuedJob,
  { reply, prediction, stream }: FirstPart,
  metrics: VersionMetrics,
  takenAt: number,
): void {
  // The client has left.
  if (job.isSettled) return stream?.cancel()
  if (reply.code !== 200) return job.reject(replyError(reply))
  if (stream !== undefined) {
    timing.firstByteMs = performance.now() - takenAt
    metrics.countStream(stream.outcome, timing.firstByteMs, takenAt)
  }
  job.resolve(prediction, stream)
}

/**
 * Handles the jobs of a batch without a reply: returns those to run again and rejects the others. A
 * job that had not reached the handler cannot be the cause. A job that had reached it runs once
 * more, if a repetition is safe; it is rejected if a second worker dies of it.
 */
export function recoverBatch(
  jobs: readonly QueuedJob[],
  error: unknown,
  { isRetryable }: Pick<PoolOptions, 'isRetryable'>,
  crashes: CrashList,
): QueuedJob[] {
  const failure = error instanceof Error ? error : new Error(String(error))
  const died = error instanceof WorkerDiedError
  const again: QueuedJob[] = []
  for (const queued of jobs) {
    const { job } = queued
    // A streamed response that has begun is settled, but its request may be the cause.
    const mayBeCause = !job.isSettled || job.stream?.isCancelled === false
    if (died && error.hadStarted && error.isCrash && mayBeCause) crashes.recordCrash(job)
    if (job.isSettled) continue
    if (died && error.hadStarted) queued.deaths += 1
    const isHarmless = died && (!error.hadStarted || (isRetryable && queued.deaths < 2))
    if (isHarmless) again.push(queued)
    else job.reject(failure)
  }
  return again
}
