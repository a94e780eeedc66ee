import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import type { Parameter } from '../../models/scheduling/queue/job.ts'
import { BodyCollector, declaredLength, watchBody } from './body.ts'

/**
 * Maximum number of fields of a form or query, and of bytes in a field's name. Each field needs
 * memory here and in the worker.
 */
const MAX_FIELDS = 1024
const MAX_NAME_BYTES = 1024
/** Limits of a multipart body in addition to its size. */
const MULTIPART_LIMITS = { parts: 256, headerPairs: 50, headerSize: 16 * 1024 }

/**
 * Maximum number of bytes of a multipart body besides the contents of its parts: boundaries and
 * headers.
 */
const MAX_FRAMING_BYTES = 1024 * 1024

const AMPERSAND = 0x26
const EQUALS = 0x3d
const PERCENT = 0x25
const PLUS = 0x2b
const SPACE = 0x20
/** Value of each hexadecimal digit by character code; -1 for all other characters. */
const HEX_VALUES = Int8Array.from({ length: 256 }, (_, code) => {
  const digit = Number.parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(digit) ? -1 : digit
})

/**
 * Parses the fields of an `application/x-www-form-urlencoded` text or a query string, in order. As
 * in MMS, values are bytes (`%ff` is one byte) and have no content type.
 * @throws ServerError 413 for too many fields, 400 for a name that is too long.
 */
export function parseUrlEncoded(text: Buffer): Parameter[] {
  const parameters: Parameter[] = []
  let start = 0
  while (start < text.length) {
    // Searching again for each of millions of empty fields would take seconds.
    if (text[start] === AMPERSAND) {
      start += 1
      continue
    }
    const found = text.indexOf(AMPERSAND, start)
    const end = found === -1 ? text.length : found
    if (parameters.length === MAX_FIELDS) {
      throw new ServerError(
        'PayloadTooLargeException',
        `The form has more than ${MAX_FIELDS} fields.`,
      )
    }
    parameters.push(parseField(text.subarray(start, end)))
    start = end + 1
  }
  return parameters
}

function parseField(field: Buffer): Parameter {
  const equals = field.indexOf(EQUALS)
  const name = equals === -1 ? field : field.subarray(0, equals)
  const value = equals === -1 ? field.subarray(field.length) : field.subarray(equals + 1)
  checkName(name.length)
  return { name: decode(name).toString('utf8'), contentType: '', value: decode(value) }
}

/**
 * Decodes percent escapes. An invalid escape stays as it is. Does not copy if there is nothing to
 * decode.
 */
function decode(text: Buffer): Buffer {
  if (!text.includes(PERCENT) && !text.includes(PLUS)) return text
  const decoded = Buffer.allocUnsafe(text.length)
  let length = 0
  for (let index = 0; index < text.length; index += 1) {
    let byte = text[index] ?? 0
    if (byte === PLUS) {
      byte = SPACE
    } else if (byte === PERCENT) {
      const high = HEX_VALUES[text[index + 1] ?? 0] ?? -1
      const low = HEX_VALUES[text[index + 2] ?? 0] ?? -1
      if (high !== -1 && low !== -1) {
        byte = high * 16 + low
        index += 2
      }
    }
    decoded[length++] = byte
  }
  return decoded.subarray(0, length)
}

/**
 * Reads the parts of a `multipart/form-data` request, in order. As in MMS, only a part with a file
 * name keeps its content type.
 * @throws ServerError 400 or 413.
 */
export async function readMultipart(
  request: FastifyRequest,
  maxBytes: number,
): Promise<Parameter[]> {
  const { openRequests } = request.server
  const hold = (bytes: number): void => openRequests.hold(request, bytes)
  const collector = new BodyCollector({ maxBytes, hold }, declaredLength(request.raw, { maxBytes }))
  try {
    return await Promise.race([
      readParts(request, maxBytes, collector),
      watchBody(request.raw, { maxBytes: maxBytes + MAX_FRAMING_BYTES }),
    ])
  } catch (error) {
    throw asClientError(error)
  }
}

async function readParts(
  request: FastifyRequest,
  maxBytes: number,
  collector: BodyCollector,
): Promise<Parameter[]> {
  const parameters: Parameter[] = []
  const parts = request.parts({
    // One byte more than the collector accepts: the collector throws an error, the plugin would
    // truncate the part.
    limits: { ...MULTIPART_LIMITS, fileSize: maxBytes + 1 },
    // Treats fields as files without a name: otherwise the plugin decodes text and parses JSON.
    isPartAFile: () => true,
  })
  for await (const part of parts) {
    if (part.type !== 'file') continue
    const name: string | undefined = part.fieldname
    if (name === undefined) {
      throw new ServerError('BadRequestException', 'A part of the multipart body has no name.')
    }
    checkName(Buffer.byteLength(name))
    for await (const piece of part.file) if (Buffer.isBuffer(piece)) collector.add(piece)
    const value = collector.take()
    parameters.push({ name, contentType: partType(part.filename, part.mimetype, value), value })
  }
  return parameters
}

/**
 * Errors of the plugin have a status. Its parser throws plain errors, for example for a boundary
 * that is too long.
 */
function asClientError(error: unknown): unknown {
  if (error instanceof Error && 'statusCode' in error) return error
  return new ServerError('BadRequestException', 'The multipart body is malformed.', {
    cause: error,
  })
}

/**
 * The content type of a part. The parser reports `text/plain` for a file without one (many clients
 * send images so), so bytes that are not UTF-8 become `application/octet-stream`.
 */
function partType(fileName: string | undefined, declared: string, value: Buffer): string {
  if (fileName === undefined || fileName === '') return ''
  if (declared === '' || (declared === 'text/plain' && !isUtf8(value))) {
    return 'application/octet-stream'
  }
  return declared
}

function checkName(bytes: number): void {
  if (bytes > MAX_NAME_BYTES) {
    throw new ServerError('BadRequestException', 'The name of a form field is too long.')
  }
}
