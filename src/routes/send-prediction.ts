import type { FastifyReply } from 'fastify'
import { ROWS_HEADER } from '../dialects.ts'
import { ServerError } from '../errors.ts'
import type { Prediction } from '../models/job.ts'
import { answerHeaderList } from './answer-headers.ts'

/**
 * Headers that frame the message, belong to the connection or are the server's own: a worker that sets
 * them could desynchronise a proxy.
 */
const RESERVED = new Set([
  'connection',
  'content-length',
  'content-type',
  'keep-alive',
  ROWS_HEADER.toLowerCase(),
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
])
/** Which web pages may read an answer is not for a model to say. */
const CORS_PREFIX = 'access-control-'
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Visible characters, space and tab: what Node lets through in a value without throwing outside our reach. */
const SAFE_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const MAX_PHRASE = 128
/** Clients refuse an answer with more than about 16 KiB of headers. */
const MAX_HEADER_BYTES = 8192

/** Up to this size it is cheaper to join head and body into one text than to have the system gather two buffers. */
const MAX_JOINED_BYTES = 4096

/**
 * Relays a worker's answer: status, phrase, headers and the bytes of the body as they are, past Fastify, whose
 * way for an answer takes longer than the run of a small model. What HTTP forbids is left out, because
 * `writeHead` would throw.
 * @throws ServerError 500 when the status is none that ends a request.
 */
export function sendPrediction(reply: FastifyReply, prediction: Prediction): FastifyReply {
  const { status, reason, body } = prediction
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new ServerError(
      'InternalServerException',
      `The handler answered with the invalid status ${status}.`,
    )
  }
  const { raw } = reply.hijack()
  const headers = relayedHeaders(reply.request.id, prediction)
  if (reason !== '' && reason.length <= MAX_PHRASE && SAFE_VALUE.test(reason)) {
    raw.statusMessage = reason
  }
  if (status === 204 || status === 304) {
    raw.writeHead(status, headers).end()
    return reply
  }
  headers.push('content-length', String(body.length))
  raw.writeHead(status, headers)
  if (body.length > MAX_JOINED_BYTES) raw.end(body)
  else raw.end(body.toString('latin1'), 'latin1')
  return reply
}

/** Name after value, in one list. */
function relayedHeaders(requestId: string, prediction: Prediction): string[] {
  const { status, contentType, headers } = prediction
  const list = answerHeaderList(requestId)
  let bytesLeft = MAX_HEADER_BYTES
  const hasType = contentType !== '' && status !== 204
  if (hasType && contentType.length <= bytesLeft && SAFE_VALUE.test(contentType)) {
    bytesLeft -= contentType.length
    list.push('content-type', contentType)
  }
  for (const [name, value] of headers) {
    const bytes = name.length + value.length
    if (bytes > bytesLeft || !isAllowed(name) || !SAFE_VALUE.test(value)) continue
    bytesLeft -= bytes
    list.push(name, value)
  }
  return list
}

function isAllowed(name: string): boolean {
  const lower = name.toLowerCase()
  return !RESERVED.has(lower) && !lower.startsWith(CORS_PREFIX) && TOKEN.test(name)
}
