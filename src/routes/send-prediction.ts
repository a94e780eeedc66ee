import type { FastifyReply } from 'fastify'
import { ServerError } from '../errors.ts'
import type { Prediction } from '../models/job.ts'

/** Headers that frame the message or belong to the connection: a worker that sets them could desynchronise a proxy. */
const FRAMING = new Set([
  'connection', 'content-length', 'content-type', 'keep-alive', 'proxy-authenticate', 'proxy-authorization',
  'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'x-request-id',
])
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Visible characters, space and tab: what Node lets through in a value without throwing outside our reach. */
// oxlint-disable-next-line no-control-regex
const SAFE_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const MAX_PHRASE = 128

/**
 * Relays a worker's answer: status, phrase, headers and the bytes of the body as they are. What HTTP
 * forbids is left out, because `writeHead` would throw where no error handler reaches.
 * @throws ServerError 500 when the status is none that ends a request.
 */
export function sendPrediction(reply: FastifyReply, prediction: Prediction): FastifyReply {
  const { status, reason, contentType, headers, body } = prediction
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new ServerError('InternalServerException', `The handler answered with the invalid status ${status}.`)
  }
  for (const [name, value] of headers) {
    if (!FRAMING.has(name.toLowerCase()) && TOKEN.test(name) && SAFE_VALUE.test(value)) reply.header(name, value)
  }
  if (reason !== '' && reason.length <= MAX_PHRASE && SAFE_VALUE.test(reason)) reply.raw.statusMessage = reason
  if (contentType !== '' && SAFE_VALUE.test(contentType)) reply.header('content-type', contentType)
  return reply.code(status).send(status === 204 || status === 304 ? undefined : body)
}
