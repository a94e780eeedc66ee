import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { errorText } from '../http/error-handler.ts'
import { answerHeaderList } from '../http/response-headers.ts'

/** What is needed of a request here, whatever its route. */
type EarlyRequest = Pick<FastifyRequest, 'id' | 'url' | 'raw'>

/**
 * For `onRequest`: rejects a request whose model has no room, or does not exist, before anything else
 * is done for it. In a flood, a rejection must cost less than a response. A full queue rejects only
 * requests that have arrived completely, whose connection can be kept, and those whose client waits
 * for `100 Continue`; for others there may be room once the body is there.
 * @param find The model that the request names.
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
    // Of a request that is here as a whole, its route says more.
    if (request.raw.complete) done()
    else done(error instanceof Error ? error : new Error(String(error)))
    return
  }
  const canTell = request.raw.complete || request.raw.headers.expect !== undefined
  const rejection = canTell ? model.rejection() : undefined
  if (rejection === undefined) return done()
  model.countRejection(rejection)
  send(rejection.error, request, reply.hijack().raw)
}

/** Past Fastify, as responses of models are. */
function send(
  rejection: ServerError,
  { id, url, raw }: EarlyRequest,
  answer: ServerResponse,
): void {
  if (!raw.complete) answer.shouldKeepAlive = false
  const body = errorText(rejection, url)
  const headers = answerHeaderList(id)
  headers.push('content-type', 'application/json')
  headers.push('content-length', String(Buffer.byteLength(body)))
  if (rejection.retryAfterSeconds !== undefined)
    headers.push('retry-after', String(rejection.retryAfterSeconds))
  answer.writeHead(rejection.statusCode, headers).end(body)
}
