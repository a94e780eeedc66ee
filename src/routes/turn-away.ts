import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ServerError } from '../errors.ts'
import type { ModelVersion } from '../models/model-version.ts'
import { answerHeaderList } from './answer-headers.ts'
import { errorText } from './error-handler.ts'

/** What is needed of a request here, whatever its route. */
type Turned = Pick<FastifyRequest, 'id' | 'url' | 'raw'>

/**
 * For `onRequest`: refuses a request whose model has no room before anything else is done for it. In a flood, to
 * refuse must cost less than to serve. Only what has come as a whole is turned away here: its connection can be kept,
 * and no client is still sending when the answer comes.
 * @param find The model that the request names; what it throws is left to the route.
 */
export function turnAway(
  find: () => ModelVersion,
  request: Turned,
  reply: { hijack(): { readonly raw: ServerResponse } },
  done: () => void,
): void {
  const refusal = request.raw.complete ? refusalOf(find) : undefined
  if (refusal === undefined) done()
  else send(refusal, request, reply.hijack().raw)
}

function refusalOf(find: () => ModelVersion): ServerError | undefined {
  try {
    return find().pool.turnAway()
  } catch {
    return undefined
  }
}

/** Past Fastify, as answers of models are. */
function send(refusal: ServerError, { id, url }: Turned, answer: ServerResponse): void {
  const body = errorText(refusal, url)
  const headers = answerHeaderList(id)
  headers.push('content-type', 'application/json')
  headers.push('content-length', String(Buffer.byteLength(body)))
  if (refusal.retryAfterSeconds !== undefined)
    headers.push('retry-after', String(refusal.retryAfterSeconds))
  answer.writeHead(refusal.statusCode, headers).end(body)
}
