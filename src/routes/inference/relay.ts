/** The common part of all REST dialects: sends a request to a model and relays its response. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Dialect } from '../../contract/internal-headers.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Parameter } from '../../models/scheduling/queue/job.ts'
import { checkModel } from '../http/access/caller.ts'
import { whenClientLeaves } from '../http/open-requests.ts'
import { RequestRecording } from '../recorded-requests/request-recording.ts'
import { predictOptionsOf } from './predict-options.ts'
import { requestHeaders } from './request-parameters.ts'
import { RequestTimes } from './request-times.ts'
import { sendPrediction } from './send-prediction.ts'
import { sendStream } from './send-stream.ts'

/**
 * Sends `parameters` and the request's headers to a model and relays its response.
 * @param find Looks up the model again after the body has arrived, because it may have been
 * replaced.
 * @param dialect How the worker reads the body and writes the response; absent for routes of MMS.
 */
export function relay(
  find: () => ModelVersion,
  parameters: readonly Parameter[],
  request: FastifyRequest,
  reply: FastifyReply,
  dialect?: Dialect,
): Promise<FastifyReply> {
  return relayFor({ explains: false, dialect }, find(), parameters, request, reply)
}

/**
 * As {@link relay}, but asks the handler to explain its prediction, as TorchServe does. The request
 * shares no batch.
 */
export function relayExplanation(
  find: () => ModelVersion,
  parameters: readonly Parameter[],
  request: FastifyRequest,
  reply: FastifyReply,
  dialect?: Dialect,
): Promise<FastifyReply> {
  return relayFor({ explains: true, dialect }, find(), parameters, request, reply)
}

interface Purpose {
  readonly explains: boolean
  readonly dialect: Dialect | undefined
}

async function relayFor(
  { explains, dialect }: Purpose,
  model: ModelVersion,
  parameters: readonly Parameter[],
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  checkModel(request, model.name)
  const { openRequests } = request.server
  const times = new RequestTimes(model, request)
  request.times = times
  const { priority, timeoutMs } = predictOptionsOf(request, parameters, dialect)
  const options = { priority, timeoutMs, requestId: request.id, explains }
  const headers = requestHeaders(request, dialect)
  const { recorder } = openRequests
  if (recorder !== undefined)
    request.recording = RequestRecording.begin(recorder, model, request, parameters)
  const prediction = await model.predict(headers, parameters, options, (cancel, timing) => {
    times.accepted = timing
    whenClientLeaves(request, reply, cancel)
  })
  openRequests.respondWith(request, prediction)
  if (prediction.stream !== undefined)
    return sendStream(reply, prediction, prediction.stream, {
      headers,
      isWhole: dialect !== undefined,
    })
  return sendPrediction(reply, prediction)
}
