import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.ts'
import type { Parameter } from '../models/job.ts'

/** Limits of a multipart body besides its size. */
const MULTIPART_LIMITS = { parts: 256, headerPairs: 50, fieldNameSize: 256 }

/**
 * Fields of an `application/x-www-form-urlencoded` text or a query string, in order. Values keep their
 * bytes (`%ff` is one byte) and have no content type, as in the original.
 */
export function parseUrlEncoded(text: string): Parameter[] {
  return text
    .split('&')
    .filter((field) => field !== '')
    .map((field) => {
      const equals = field.indexOf('=')
      const name = equals === -1 ? field : field.slice(0, equals)
      const value = equals === -1 ? '' : field.slice(equals + 1)
      return { name: decode(name).toString('utf8'), contentType: '', value: decode(value) }
    })
}

/** Percent-decodes to bytes; what is no escape stays as it is. The text has one character per byte. */
function decode(text: string): Buffer {
  const unescaped = text
    .replaceAll('+', ' ')
    .replace(/%([\da-f]{2})/gi, (_match, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(unescaped, 'latin1')
}

/**
 * Parts of a `multipart/form-data` request, in order: a part with a file name keeps its content type,
 * one without loses it (section 4.2 of the original's behaviour).
 * @throws ServerError 400 or 413.
 */
export async function readMultipart(request: FastifyRequest, maxBytes: number): Promise<Parameter[]> {
  const parameters: Parameter[] = []
  let bytes = 0
  const parts = request.parts({
    limits: { ...MULTIPART_LIMITS, fileSize: maxBytes },
    // Fields are files without a name here: the plugin would decode text and parse JSON on the way.
    isPartAFile: () => true,
  })
  for await (const part of parts) {
    if (part.type !== 'file') continue
    const value = await part.toBuffer()
    bytes += value.length
    if (bytes > maxBytes) {
      throw new ServerError('PayloadTooLargeException', `The request body is larger than ${maxBytes} bytes.`)
    }
    const contentType = part.filename ? (part.mimetype || 'application/octet-stream') : ''
    parameters.push({ name: part.fieldname, contentType, value })
  }
  return parameters
}
