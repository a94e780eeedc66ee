import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { errorText } from '../http/error-handler.ts'
import { answerHeaderList } from '../http/response-headers.ts'

/** What is needed of a request here, whatever its route. */
type Turned = Pick<FastifyRequest, 'id' | 'url' | 'raw'>

/**
 * For `onRequest`: refuses a request whose model has no room, or is not there, before anything else
 * is done for it. In a flood, to refuse must cost less than to serve. Of a queue that is full only
 * those requests are told that have come as a whole, whose connection can be kept, and those whose
 * client waits to be asked for the body; for others there may be room once the body is there.
 * @param find The model that the request names.
 */
export function turnAway(
  find: () => ModelVersion,
  request: Turned,
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
  const refusal = canTell ? model.pool.turnAway() : undefined
  if (refusal === undefined) done()
  else send(refusal, request, reply.hijack().raw)
}

/** Past Fastify, as answers of models are. */
function send(refusal: ServerError, { id, url, raw }: Turned, answer: ServerResponse): void {
  if (!raw.complete) answer.shouldKeepAlive = false
  const body = errorText(refusal, url)
  const headers = answerHeaderList(id)
  headers.push('content-type', 'application/json')
  headers.push('content-length', String(Buffer.byteLength(body)))
  if (refusal.retryAfterSeconds !== undefined)
    headers.push('retry-after', String(refusal.retryAfterSeconds))
  answer.writeHead(refusal.statusCode, headers).end(body)
}
