import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { ROWS_HEADER, TOKENS_HEADER } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import type { Prediction } from '../../models/scheduling/prediction.ts'
import { answerHeaderList } from '../http/response-headers.ts'
import { VERSION_HEADER } from './choose-version.ts'
import { EXPLAIN_HEADER } from './request-times.ts'

/**
 * Headers that a worker cannot set, because they frame the message, belong to the connection or are
 * set by this server. Otherwise a worker could desynchronize a proxy.
 */
const RESERVED = new Set([
  'connection',
  'content-length',
  'content-type',
  'keep-alive',
  ROWS_HEADER.toLowerCase(),
  EXPLAIN_HEADER,
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  TOKENS_HEADER.toLowerCase(),
  'trailer',
  'transfer-encoding',
  'ts_stream_next',
  'upgrade',
  VERSION_HEADER,
  'x-content-type-options',
  'x-request-id',
])
/** Models cannot set CORS headers: they must not decide which web pages may read a response. */
const CORS_PREFIX = 'access-control-'
/** The part of a prediction that is sent. */
export type Response = Pick<Prediction, 'status' | 'reason' | 'contentType' | 'headers' | 'body'>

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/**
 * Characters that Node accepts in a header value: visible characters, space and tab. For others
 * Node throws an error.
 */
const SAFE_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const MAX_PHRASE = 128
/** Clients reject a response with more than about 16 KiB of headers. */
const MAX_HEADER_BYTES = 8192

/**
 * Relays the response of a worker: status, reason phrase, headers and the unchanged body. It
 * bypasses Fastify, whose code for a response takes longer than a run of a small model.
 * @throws ServerError 500 if the status is not between 200 and 599.
 */
export function sendPrediction(reply: FastifyReply, prediction: Response): FastifyReply {
  const { status, body } = prediction
  const { raw, headers } = startResponse(reply, prediction)
  if (!hasBody(status)) {
    raw.writeHead(status, headers).end()
    return reply
  }
  headers.push('content-length', String(body.length))
  raw.writeHead(status, headers).end(body)
  return reply
}

/**
 * Takes the response from Fastify and returns its headers, for `writeHead`. Headers that HTTP
 * forbids are dropped, because `writeHead` would throw.
 * @throws ServerError 500 if the status is not between 200 and 599.
 */
export function startResponse(
  reply: FastifyReply,
  prediction: Response,
): { readonly raw: ServerResponse; readonly headers: string[] } {
  const { status, reason } = prediction
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new ServerError(
      'InternalServerException',
      `The handler returned the invalid status ${status}.`,
    )
  }
  const { raw } = reply.hijack()
  if (!reply.request.raw.complete) raw.shouldKeepAlive = false
  const headers = relayedHeaders(reply.request.id, prediction)
  const { times, corsHeaders, chosenVersion } = reply.request
  if (corsHeaders !== undefined) headers.push(...corsHeaders)
  if (chosenVersion !== undefined) headers.push(VERSION_HEADER, chosenVersion)
  times?.addHeaders(headers, reply.request)
  if (reason !== '' && reason.length <= MAX_PHRASE && SAFE_VALUE.test(reason)) {
    raw.statusMessage = reason
  }
  return { raw, headers }
}

/** Whether a response with this status may have a body. */
export function hasBody(status: number): boolean {
  return status !== 204 && status !== 304
}

/** A flat list of names in lower case and values. Of a repeated header the last value counts. */
function relayedHeaders(requestId: string, prediction: Response): string[] {
  const { status, contentType, headers } = prediction
  const list = answerHeaderList(requestId)
  const isTyped = contentType.length <= MAX_HEADER_BYTES && SAFE_VALUE.test(contentType)
  const type = isTyped && contentType !== '' ? contentType : 'application/octet-stream'
  if (hasBody(status)) list.push('content-type', type)
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

/** Sets a header and replaces an existing value. `set-cookie` is added each time. */
export function setHeader(list: string[], name: string, value: string): void {
  let place = name === 'set-cookie' ? list.length : 0
  while (place < list.length && list[place] !== name) place += 2
  list[place] = name
  list[place + 1] = value
}

function isAllowed(name: string): boolean {
  return !RESERVED.has(name) && !name.startsWith(CORS_PREFIX) && TOKEN.test(name)
}
