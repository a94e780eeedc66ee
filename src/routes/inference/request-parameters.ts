/** From an HTTP request to the parameters and headers of the worker protocol: section 4.2 of the original's behaviour. */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { DIALECT_HEADER, isInternalHeader } from '../../contract/internal-headers.ts'
import type { Dialect } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import { fileFormatOf } from '../../file-format.ts'
import type { Header, Parameter } from '../../models/scheduling/job.ts'
import { plainBody, refuseCompressedForm } from '../http/content-encoding.ts'
import { parseUrlEncoded, readMultipart } from '../http/form.ts'

const URL_ENCODED = 'application/x-www-form-urlencoded'

/** Which parts of a request become parameters. */
export interface ParameterOptions {
  /** Query values come first, on the routes where the original passes them on. */
  readonly withQuery: boolean
  readonly maxBodyBytes: number
}

/** Parameters of a request: query values, then form fields, or the whole body under the name `body`. */
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
  // Any other body is decompressed in the worker, which has nothing else to do meanwhile.
  const value = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  if (form === URL_ENCODED) {
    const plain = await plainBody(request, maxBodyBytes)
    // What curl calls any data: its bytes say what it is, and make fields by chance only.
    const isForm = fileFormatOf(plain) === undefined && (plain === value || !isJson(plain))
    return isForm
      ? [...query, ...parseUrlEncoded(plain)]
      : [...query, { name: 'body', contentType: '', value: plain }]
  }
  return [...query, { name: 'body', contentType, value }]
}

/** Whether a text begins as JSON does, and no name of a form. */
function isJson(text: Buffer): boolean {
  return /^\s{0,100}[[{"]/.test(text.toString('latin1', 0, 101))
}

/**
 * The whole body as the one parameter `body`, for dialects that have no other form.
 * @throws ServerError `UnsupportedMediaTypeException` for a form, whose body was not read as one piece.
 */
export function bodyParameter(request: FastifyRequest): Parameter[] {
  if (request.isMultipart()) {
    const text = 'A multipart form is not a request of this protocol; send JSON.'
    throw new ServerError('UnsupportedMediaTypeException', text)
  }
  const contentType = mediaType(request.headers['content-type'])
  const value = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  return [{ name: 'body', contentType, value }]
}

/**
 * Request headers in the client's spelling; of repeated ones the last, as the original's front-end sends them. With a
 * dialect they are as Node gives them, repeated ones joined: two lengths of one body must be seen to be two.
 */
export function requestHeaders({ raw }: FastifyRequest, dialect?: Dialect): Header[] {
  if (dialect !== undefined) return [...joinedHeaders(raw), [DIALECT_HEADER, dialect]]
  const { rawHeaders } = raw
  const headers = new Map<string, string>()
  // The fields of a form are not compressed any more.
  const isForm = mediaType(raw.headers['content-type']).toLowerCase() === URL_ENCODED
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (isInternalHeader(name)) continue
    if (isForm && name.toLowerCase() === 'content-encoding') continue
    headers.set(name, rawHeaders[index + 1] ?? '')
  }
  return [...headers]
}

function joinedHeaders({ headers }: IncomingMessage): Header[] {
  return Object.entries(headers)
    .filter(([name]) => !isInternalHeader(name))
    .map(([name, value]) => [name, String(value)])
}

function mediaType(header: string | undefined): string {
  if (header === undefined) return ''
  const end = header.indexOf(';')
  return (end === -1 ? header : header.slice(0, end)).trim()
}

/** Node keeps one character for each byte of the URL. */
function queryOf(request: FastifyRequest): Buffer {
  const { url = '' } = request.raw
  const start = url.indexOf('?')
  return Buffer.from(start === -1 ? '' : url.slice(start + 1), 'latin1')
}
