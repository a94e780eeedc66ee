/**
 * Compresses and decompresses bodies. Either of the names `gzip` and `deflate` (the zlib format)
 * accepts both formats, as in Triton. The calls are synchronous because the worker has no other
 * work at that time.
 */
import { deflateSync, gzipSync, unzipSync } from 'node:zlib'
import { ServerError } from '../../../errors.ts'
import type { WireHeader, WirePrediction, WireRequest } from '../../wire/messages.ts'
import { BODY } from './codec.ts'
import type { RequestHeaders } from './headers.ts'
import { quote } from './tensors/error-text.ts'
import { withUtf8Body } from './utf8-body.ts'

/** Compression of a response. */
export type Coding = 'gzip' | 'deflate' | 'identity'

const DECODED: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate'])
const CHUNK_BYTES = 256 * 1024
/** Tensors compress badly, so speed is more important than size. */
const FASTEST = 1

/** The request has an unsupported content coding. The response lists the supported ones. */
export class UnsupportedCodingError extends ServerError {
  readonly headers: readonly WireHeader[] = [['Accept-Encoding', 'gzip, deflate']]

  constructor(coding: string) {
    const text = `Content encoding ${quote(coding)} is not supported; send gzip, deflate or none.`
    super('UnsupportedMediaTypeException', text)
  }
}

/**
 * Returns the request with its body decompressed, and a text in UTF-8; the request itself when it
 * is so already.
 * @throws UnsupportedCodingError 415
 * @throws ServerError 400 when the data is damaged, 413 when it exceeds `maxBytes` after
 * decompression, 415 for an unknown charset
 */
export function decodeBody(
  request: WireRequest,
  { contentEncoding, charset, jsonLength }: RequestHeaders,
  maxBytes: number,
): WireRequest {
  const plain = decompressed(request, contentEncoding, maxBytes)
  // Binary data follows the JSON.
  return jsonLength === undefined ? withUtf8Body(plain, charset) : plain
}

function decompressed(request: WireRequest, coding: string, maxBytes: number): WireRequest {
  if (coding === '' || coding === 'identity') return request
  if (!DECODED.has(coding)) throw new UnsupportedCodingError(coding)
  const parameters = request.parameters.map((parameter) =>
    parameter.name === BODY
      ? { ...parameter, value: decompress(parameter.value, coding, maxBytes) }
      : parameter,
  )
  return { ...request, parameters }
}

/**
 * Chooses the coding that an `Accept-Encoding` header prefers: the highest quality wins, and the
 * first of equal ones. Unknown codings and `*` are ignored.
 */
export function chooseCoding(acceptEncoding: string): Coding {
  if (acceptEncoding === '') return 'identity'
  let best: Coding = 'identity'
  let bestQuality = 0
  for (const part of acceptEncoding.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim())
    const coding = name === 'x-gzip' ? 'gzip' : name
    if (coding !== 'gzip' && coding !== 'deflate' && coding !== 'identity') continue
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    const quality = weight === undefined ? 1 : Number(weight.slice(2))
    if (quality > bestQuality) {
      best = coding
      bestQuality = quality
    }
  }
  return best
}

/** Compresses a response, unless that does not make it smaller. */
export function encodeBody(answer: WirePrediction, coding: Coding): WirePrediction {
  if (coding === 'identity') return answer
  const compress = coding === 'gzip' ? gzipSync : deflateSync
  const body = compress(answer.body, { level: FASTEST, chunkSize: CHUNK_BYTES })
  if (body.length >= answer.body.length) return answer
  return { ...answer, body, headers: [...answer.headers, ['Content-Encoding', coding]] }
}

function decompress(bytes: Buffer, coding: string, maxBytes: number): Buffer {
  try {
    const chunkSize = Math.min(CHUNK_BYTES, Math.max(1024, 4 * bytes.length))
    return unzipSync(bytes, { maxOutputLength: maxBytes, chunkSize })
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      const text = `The decompressed body is larger than the limit of ${maxBytes} bytes.`
      throw new ServerError('PayloadTooLargeException', text, { cause })
    }
    const text = `The body is not valid ${coding} data, but its Content-Encoding is ${coding}.`
    throw new ServerError('InvalidInputException', text, { cause })
  }
}
