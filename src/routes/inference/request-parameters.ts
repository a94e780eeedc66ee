/**
 * Converts an HTTP request to the parameters and headers of the worker protocol, as MMS does. See
 * `docs/worker-protocol.md`.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { DIALECT_HEADER, isInternalHeader } from '../../contract/internal-headers.ts'
import type { Dialect } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import { fileFormatOf } from '../../formats/file-format.ts'
import type { Header, Parameter } from '../../models/scheduling/queue/job.ts'
import { plainBody, refuseCompressedForm } from '../http/content-encoding.ts'
import { parseUrlEncoded, readMultipart } from '../http/form.ts'

const URL_ENCODED = 'application/x-www-form-urlencoded'

/** Options of {@link requestParameters}. */
export interface ParameterOptions {
  /** Whether query values come before those of the body, as on the MMS routes that pass them on. */
  readonly withQuery: boolean
  readonly maxBodyBytes: number
}

/** The parameters of a request: query values, then form fields, or the whole body as `body`. */
export async function requestParameters(
  request: FastifyRequest,
  { withQuery, maxBodyBytes }: ParameterOptions,
): Promise<Parameter[]> {
  const query = withQuery ? parseUrlEncoded(queryOf(request)) : []
  const contentType = mediaType(request.headers['content-type'])
  const form = contentType.toLowerCase()
  if (form === 'multipart/form-data' && request.isMultipart()) {
    refuseCompressedForm(request)
    return [...query, ...(await readMultipart(request, maxBodyBytes))]
  }
  // Other bodies are decompressed in the worker, so that the front-end is not blocked.
  const value = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  if (form === URL_ENCODED) {
    const plain = await plainBody(request, maxBodyBytes)
    // curl sends this content type for any data by default. A known file format, or decompressed
    // JSON, is one body.
    const isForm = fileFormatOf(plain) === undefined && (plain === value || !isJson(plain))
    return isForm
      ? [...query, ...parseUrlEncoded(plain)]
      : [...query, { name: 'body', contentType: '', value: plain }]
  }
  return [...query, { name: 'body', contentType, value }]
}

/** Whether a text starts like JSON. The name of a form field does not. */
function isJson(text: Buffer): boolean {
  return /^\s{0,100}[[{"]/.test(text.toString('latin1', 0, 101))
}

/**
 * The whole body as the parameter `body`, for REST dialects that accept no forms.
 * @throws ServerError `UnsupportedMediaTypeException` for a multipart form.
 */
export function bodyParameter(request: FastifyRequest): Parameter[] {
  if (request.isMultipart()) {
    const text = 'This protocol does not accept multipart forms; send JSON.'
    throw new ServerError('UnsupportedMediaTypeException', text)
  }
  const contentType = mediaType(request.headers['content-type'])
  const value = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  return [{ name: 'body', contentType, value }]
}

/**
 * The request headers for the worker. Without a dialect, names are as the client wrote them and the
 * last of repeated headers wins, as in MMS. With a dialect, they are as Node gives them and
 * repeated headers are joined: a worker must see that a body has two lengths. The headers of a
 * trace are those of this server, not those of the client.
 */
export function requestHeaders({ raw, trace }: FastifyRequest, dialect?: Dialect): Header[] {
  const own = trace?.headers ?? []
  const isDropped = (name: string): boolean =>
    isInternalHeader(name) || own.some(([one]) => one === name.toLowerCase())
  if (dialect !== undefined)
    return [...joinedHeaders(raw, isDropped), ...own, [DIALECT_HEADER, dialect]]
  const { rawHeaders } = raw
  const headers = new Map<string, string>()
  // The body of a form is already decompressed.
  const isForm = mediaType(raw.headers['content-type']).toLowerCase() === URL_ENCODED
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (isDropped(name)) continue
    if (isForm && name.toLowerCase() === 'content-encoding') continue
    headers.set(name, rawHeaders[index + 1] ?? '')
  }
  return [...headers, ...own]
}

function joinedHeaders(
  { headers }: IncomingMessage,
  isDropped: (name: string) => boolean,
): Header[] {
  return Object.entries(headers)
    .filter(([name]) => !isDropped(name))
    .map(([name, value]) => [name, String(value)])
}

function mediaType(header: string | undefined): string {
  if (header === undefined) return ''
  const end = header.indexOf(';')
  return (end === -1 ? header : header.slice(0, end)).trim()
}

/** The query as bytes. Node keeps one character for each byte of the URL. */
function queryOf(request: FastifyRequest): Buffer {
  const { url = '' } = request.raw
  const start = url.indexOf('?')
  return Buffer.from(start === -1 ? '' : url.slice(start + 1), 'latin1')
}
