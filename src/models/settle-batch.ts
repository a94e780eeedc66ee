import { ServerError } from '../errors.ts'
import type { WorkerReply } from '../worker/wire/messages.ts'
import type { Job } from './job.ts'

/**
 * Hands each job of a batch its part of the worker's reply. An overall error code speaks for every
 * job of the batch (the original answers only the first: section 3.4 of its behaviour).
 */
export function settleBatch(jobs: readonly Job[], reply: WorkerReply): void {
  jobs.forEach((job, index) => {
    if (job.isSettled) return
    const prediction = reply.predictions[index]
    if (reply.code === 200 && prediction !== undefined) job.resolve(prediction)
    else job.reject(overallError(reply))
  })
}

function overallError(reply: WorkerReply): ServerError {
  const statusCode = reply.code >= 400 && reply.code <= 599 ? reply.code : 500
  return new ServerError('InternalServerException', reply.message, { statusCode })
}
