/** What all dialects of inference share: a request goes to a worker, and its answer comes back as it is. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { largeBuffers } from '../../buffer-pool.ts'
import type { Dialect } from '../../contract/internal-headers.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Parameter } from '../../models/scheduling/job.ts'
import { whenClientLeaves } from '../http/exchanges.ts'
import { requestHeaders } from './request-parameters.ts'
import { sendPrediction } from './send-prediction.ts'
import { urgencyOf } from './urgency.ts'

/**
 * Sends `parameters` with the request's headers to a model and relays the answer.
 * @param find Looks the model up now that the body is there: it may have been replaced while the body came in.
 * @param dialect How the worker is to read the body and to write the answer; absent for the original's own routes.
 */
export async function relay(
  find: () => ModelVersion,
  parameters: readonly Parameter[],
  request: FastifyRequest,
  reply: FastifyReply,
  dialect?: Dialect,
): Promise<FastifyReply> {
  const model = find()
  const urgency = urgencyOf(request, parameters, dialect)
  const job = model.predict(requestHeaders(request, dialect), parameters, urgency)
  whenClientLeaves(request, reply, () => model.pool.cancel(job))
  const prediction = await job.result
  const { exchanges } = request.server
  if (giveBack(model, parameters)) exchanges.release(request)
  request.lent = prediction.body
  exchanges.hold(request, prediction.body.length)
  if (dialect !== undefined) model.pool.metrics.countRows(prediction.headers)
  return sendPrediction(reply, prediction)
}

/**
 * The bodies are used again for other requests. Not where a model has code of its own: that could have answered
 * before it has read all.
 * @returns Whether the bytes are let go.
 */
function giveBack({ prepared }: ModelVersion, parameters: readonly Parameter[]): boolean {
  if (prepared.hasCode) return false
  for (const { value } of parameters) largeBuffers.give(value)
  return true
}
