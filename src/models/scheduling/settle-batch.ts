import { ServerError } from '../../errors.ts'
import { WorkerDiedError } from '../../worker/host/outcomes.ts'
import type { WorkerReply } from '../../worker/wire/messages.ts'
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
    else job.reject(overallError(reply))
  }
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
    if (job.isSettled) continue
    if (died && error.hadStarted) queued.deaths += 1
    if (died && error.hadStarted && error.isCrash) crashes.recordCrash(job)
    const isHarmless = died && (!error.hadStarted || (isRetryable && queued.deaths < 2))
    if (isHarmless) again.push(queued)
    else job.reject(failure)
  }
  return again
}

function overallError(reply: WorkerReply): ServerError {
  const statusCode = reply.code >= 400 && reply.code <= 599 ? reply.code : 500
  return new ServerError('InternalServerException', reply.message, { statusCode })
}
