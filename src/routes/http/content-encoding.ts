/** Decompresses request bodies for routes that read them in the front-end process. */
import { promisify } from 'node:util'
import { unzip } from 'node:zlib'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'

const decompress = promisify(unzip)

/** `gzip`, and `deflate` in zlib's format. `unzip` recognises both by their first bytes. */
const DECODED = ['gzip', 'x-gzip', 'deflate']

/**
 * Error for an unsupported content encoding. Its response lists the supported ones in
 * `Accept-Encoding`.
 */
export class UnsupportedCodingError extends ServerError {
  readonly acceptEncoding: string

  constructor(coding: string, acceptEncoding: string, advice: string) {
    const shown = JSON.stringify(coding.slice(0, 100))
    super('UnsupportedMediaTypeException', `Content encoding ${shown} is not supported; ${advice}.`)
    this.acceptEncoding = acceptEncoding
  }
}

/**
 * The request body after decompression. Its size is limited to `maxBytes`.
 * @throws ServerError 415 for an unsupported encoding, 413 if the result exceeds `maxBytes`, 400
 * for invalid compressed data.
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
    const text = `The request body is not valid ${coding} data, but its Content-Encoding is ${coding}.`
    throw new ServerError('BadRequestException', text, { cause })
  }
}

/**
 * @throws ServerError 415 if a multipart form is compressed as a whole, because forms are parsed
 * while they arrive.
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
