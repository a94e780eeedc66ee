import type { FastifyReply } from 'fastify'
import { ROWS_HEADER } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import type { Prediction } from '../../models/scheduling/prediction.ts'
import { answerHeaderList } from '../http/response-headers.ts'

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
  'x-content-type-options',
  'x-request-id',
])
/** Which web pages may read an answer is not for a model to say. */
const CORS_PREFIX = 'access-control-'
/** The part of a prediction that is sent. */
type Response = Pick<Prediction, 'status' | 'reason' | 'contentType' | 'headers' | 'body'>

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Visible characters, space and tab: what Node lets through in a value without throwing outside our reach. */
const SAFE_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const MAX_PHRASE = 128
/** Clients refuse an answer with more than about 16 KiB of headers. */
const MAX_HEADER_BYTES = 8192

/**
 * Relays a worker's answer: status, phrase, headers and the bytes of the body as they are, past Fastify, whose
 * way for an answer takes longer than the run of a small model. What HTTP forbids is left out, because
 * `writeHead` would throw.
 * @throws ServerError 500 when the status is none that ends a request.
 */
export function sendPrediction(reply: FastifyReply, prediction: Response): FastifyReply {
  const { status, reason, body } = prediction
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new ServerError(
      'InternalServerException',
      `The handler answered with the invalid status ${status}.`,
    )
  }
  const { raw } = reply.hijack()
  if (!reply.request.raw.complete) raw.shouldKeepAlive = false
  const headers = relayedHeaders(reply.request.id, prediction)
  if (reason !== '' && reason.length <= MAX_PHRASE && SAFE_VALUE.test(reason)) {
    raw.statusMessage = reason
  }
  if (status === 204 || status === 304) {
    raw.writeHead(status, headers).end()
    return reply
  }
  headers.push('content-length', String(body.length))
  raw.writeHead(status, headers).end(body)
  return reply
}

/** Names, in small letters, each before its value. Of a repeated name the last counts. */
function relayedHeaders(requestId: string, prediction: Response): string[] {
  const { status, contentType, headers } = prediction
  const list = answerHeaderList(requestId)
  const isTyped = contentType.length <= MAX_HEADER_BYTES && SAFE_VALUE.test(contentType)
  const type = isTyped && contentType !== '' ? contentType : 'application/octet-stream'
  if (status !== 204 && status !== 304) list.push('content-type', type)
  let bytesLeft = MAX_HEADER_BYTES - type.length
  for (const [name, value] of headers) {
    const bytes = name.length + value.length
    const lower = name.toLowerCase()
    if (bytes > bytesLeft || !isAllowed(lower) || !SAFE_VALUE.test(value)) continue
    bytesLeft -= bytes
    setHeader(list, lower, value)
  }
  return list
}

/** Replaces the value of a name that is there already. Cookies add up. */
function setHeader(list: string[], name: string, value: string): void {
  let place = name === 'set-cookie' ? list.length : 0
  while (place < list.length && list[place] !== name) place += 2
  list[place] = name
  list[place + 1] = value
}

function isAllowed(name: string): boolean {
  return !RESERVED.has(name) && !name.startsWith(CORS_PREFIX) && TOKEN.test(name)
}
