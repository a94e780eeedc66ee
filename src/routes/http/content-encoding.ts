/** Bodies that come compressed to routes which read them in the front-end. */
import { promisify } from 'node:util'
import { unzip } from 'node:zlib'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'

const decompress = promisify(unzip)

/** `gzip`, and `deflate` in zlib's format; one reader knows both by their first bytes. */
const DECODED = ['gzip', 'x-gzip', 'deflate']

/** A coding that is not read here; the response says which are. */
export class UnsupportedCodingError extends ServerError {
  readonly acceptEncoding: string

  constructor(coding: string, acceptEncoding: string, advice: string) {
    const shown = JSON.stringify(coding.slice(0, 100))
    super('UnsupportedMediaTypeException', `Content encoding ${shown} is not supported; ${advice}.`)
    this.acceptEncoding = acceptEncoding
  }
}

/**
 * The body of a request as it was before it was compressed. The memory that this takes is bounded.
 * @throws ServerError 415 for another coding, 413 for more than `maxBytes` after decompression, 400
 * for damaged data.
 */
export async function plainBody(request: FastifyRequest, maxBytes: number): Promise<Buffer> {
  const { body } = request
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0)
  const coding = codingOf(request)
  if (coding === '' || bytes.length === 0) return bytes
  if (!DECODED.includes(coding)) {
    throw new UnsupportedCodingError(coding, 'gzip, deflate', 'send gzip, deflate or none')
  }
  try {
    return await decompress(bytes, { maxOutputLength: maxBytes })
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      const text = `The decompressed request body is larger than ${maxBytes} bytes.`
      throw new ServerError('PayloadTooLargeException', text, { cause })
    }
    const text = `The request body is not valid ${coding} data, as its Content-Encoding says.`
    throw new ServerError('BadRequestException', text, { cause })
  }
}

/**
 * @throws ServerError 415 when a multipart form is compressed as a whole: it is read while it
 * comes.
 */
export function refuseCompressedForm(request: FastifyRequest): void {
  const coding = codingOf(request)
  if (coding === '') return
  throw new UnsupportedCodingError(coding, 'identity', 'send a multipart form uncompressed')
}

function codingOf({ headers }: FastifyRequest): string {
  const coding = (headers['content-encoding'] ?? '').trim().toLowerCase()
  return coding === 'identity' ? '' : coding
}
