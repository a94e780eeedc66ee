/**
 * Converts bodies in other charsets to UTF-8, which all readers of texts expect. The content type
 * of the request declares the charset.
 */
import type { WireRequest } from '../../wire/messages.ts'
import { charsetOf, inUtf8, toUtf8 } from './charset.ts'
import { BODY } from './codec.ts'
import { contentKind } from './predictions/media-type.ts'

const CONTENT_TYPE = 'content-type'

/**
 * Returns the request with its body and its content type in UTF-8, if the body is a text.
 * @param charset That of the headers; `undefined` for UTF-8.
 * @throws ServerError 415 for an unknown charset, 400 for bytes that do not have it
 */
export function withUtf8Body(request: WireRequest, charset: string | undefined): WireRequest {
  const body = request.parameters.find(({ name }) => name === BODY)
  if (charset === undefined || body === undefined || !isText(body.contentType)) return request
  const converted = { ...body, value: toUtf8(body.value, charset) }
  return {
    ...request,
    headers: request.headers.map(([name, value]) => [
      name,
      name.toLowerCase() === CONTENT_TYPE ? inUtf8(value) : value,
    ]),
    parameters: request.parameters.map((one) => (one === body ? converted : one)),
  }
}

/** As {@link withUtf8Body}, with the charset in the headers of the request. */
export function asUtf8(request: WireRequest): WireRequest {
  const [, type] = request.headers.find(([name]) => name.toLowerCase() === CONTENT_TYPE) ?? []
  return type === undefined ? request : withUtf8Body(request, charsetOf(type))
}

function isText(contentType: string): boolean {
  if (contentType.toLowerCase().startsWith('text')) return true
  const kind = contentKind(contentType)
  return kind === 'json' || kind === 'csv' || kind === 'lines'
}
