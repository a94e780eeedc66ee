/** What all REST dialects share: a request goes to a model, and its response is sent as it is. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Dialect } from '../../contract/internal-headers.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Parameter } from '../../models/scheduling/job.ts'
import { whenClientLeaves } from '../http/exchanges.ts'
import { requestHeaders } from './request-parameters.ts'
import { sendPrediction } from './send-prediction.ts'
import { urgencyOf } from './urgency.ts'

/**
 * Sends `parameters` with the request's headers to a model and relays its response.
 * @param find Looks up the model now that the body has arrived: it may have been replaced meanwhile.
 * @param dialect How the worker reads the body and writes the response; absent for routes of MMS.
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
  const headers = requestHeaders(request, dialect)
  const prediction = await model.predict(headers, parameters, urgency, (cancel) =>
    whenClientLeaves(request, reply, cancel),
  )
  request.server.exchanges.respondWith(request, prediction)
  return sendPrediction(reply, prediction)
}
