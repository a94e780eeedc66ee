/**
 * Compression of bodies. `gzip` and `deflate` (which is zlib's format) by either name, as Triton reads them.
 * Synchronous: the worker has nothing else to do meanwhile.
 */
import { deflateSync, gzipSync, unzipSync } from 'node:zlib'
import { ServerError } from '../../../errors.ts'
import type { WireHeader, WirePrediction, WireRequest } from '../../wire/messages.ts'
import { BODY } from './codec.ts'
import { quote } from './tensors/error-text.ts'

/** How an answer is compressed. */
export type Coding = 'gzip' | 'deflate' | 'identity'

const DECODED: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate'])
const CHUNK_BYTES = 256 * 1024
/** Tensors hardly shrink, so time counts more than the last percent. */
const FASTEST = 1

/** A coding that is not read. Its answer says which are. */
export class UnsupportedCodingError extends ServerError {
  readonly headers: readonly WireHeader[] = [['Accept-Encoding', 'gzip, deflate']]

  constructor(coding: string) {
    const text = `Content encoding ${quote(coding)} is not supported; send gzip, deflate or none.`
    super('UnsupportedMediaTypeException', text)
  }
}

/**
 * The request with its body as it was before it was compressed; the request itself when it was not.
 * @throws UnsupportedCodingError 415
 * @throws ServerError 400 for damaged data, 413 for more than `maxBytes` after decoding
 */
export function decodeBody(request: WireRequest, coding: string, maxBytes: number): WireRequest {
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
 * The coding that an `Accept-Encoding` header prefers: the highest quality wins, of equal ones the first.
 * Other codings and `*` are passed over.
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

/** The answer compressed, unless that makes it no smaller. */
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
      const text = `The body has more than the ${maxBytes} bytes that are allowed when it is decompressed.`
      throw new ServerError('PayloadTooLargeException', text, { cause })
    }
    const text = `The body is not valid ${coding} data, which its Content-Encoding says it is.`
    throw new ServerError('InvalidInputException', text, { cause })
  }
}
