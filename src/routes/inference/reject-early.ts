import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { hasArrived } from '../http/body.ts'
import { errorText } from '../http/error-handler.ts'
import { answerHeaderList } from '../http/response-headers.ts'

/** The parts of a request that are needed here. */
type EarlyRequest = Pick<FastifyRequest, 'id' | 'url' | 'raw' | 'corsHeaders'>

/**
 * For `onRequest`: rejects a request before its body is read if its model does not exist or has no
 * room for it. Under overload a rejection must cost less than a response.
 * A full queue rejects only complete requests, whose connection can stay open, and requests that
 * wait for `100 Continue`. For other requests there may be room when the body has arrived.
 * @param find Returns the model of the request.
 */
export function rejectEarly(
  find: () => ModelVersion,
  request: EarlyRequest,
  reply: { hijack(): { readonly raw: ServerResponse } },
  done: (error?: Error) => void,
): void {
  let model: ModelVersion
  try {
    model = find()
  } catch (error) {
    // If the request is complete, its route sends a more specific error.
    if (hasArrived(request.raw)) done()
    else done(error instanceof Error ? error : new Error(String(error)))
    return
  }
  const canTell = hasArrived(request.raw) || request.raw.headers.expect !== undefined
  const rejection = canTell ? model.rejection() : undefined
  if (rejection === undefined) return done()
  model.countRejection(rejection)
  send(rejection.error, request, reply.hijack().raw)
}

/** Sends the rejection without Fastify, as responses of models are sent. */
function send(
  rejection: ServerError,
  { id, url, raw, corsHeaders }: EarlyRequest,
  answer: ServerResponse,
): void {
  if (!hasArrived(raw)) answer.shouldKeepAlive = false
  const body = errorText(rejection, url)
  const headers = answerHeaderList(id)
  if (corsHeaders !== undefined) headers.push(...corsHeaders)
  headers.push('content-type', 'application/json')
  headers.push('content-length', String(Buffer.byteLength(body)))
  if (rejection.retryAfterSeconds !== undefined)
    headers.push('retry-after', String(rejection.retryAfterSeconds))
  answer.writeHead(rejection.statusCode, headers).end(body)
}
