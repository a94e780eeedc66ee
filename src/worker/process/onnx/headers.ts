/** Reads the request headers that the codecs need, in one pass. */
import {
  DIALECT_HEADER,
  PROFILE_HEADER,
  TEXT_DIALECTS,
} from '../../../contract/internal-headers.ts'
import type { Dialect } from '../../../contract/internal-headers.ts'
import type { WireHeader } from '../../wire/messages.ts'
import { charsetOf } from './charset.ts'
import { SHAPE_HEADER } from './tensors/raw-bytes.ts'

/**
 * Header with the number of bytes of JSON before the binary data of an Open Inference Protocol
 * body, counted in the uncompressed body.
 */
export const JSON_LENGTH_HEADER = 'Inference-Header-Content-Length'

export interface RequestHeaders {
  /** Absent for requests to MMS's routes. */
  readonly dialect: Dialect | undefined
  /**
   * True when the header `describe: True` (TorchServe's convention) asks for the model's metadata.
   */
  readonly describe: boolean
  /** Whether the front-end asks for the profile of the operators. */
  readonly profile: boolean
  readonly accept: string
  readonly acceptEncoding: string
  /** In lower case; empty when the header is absent. */
  readonly contentEncoding: string
  /** Charset of the content type; absent for UTF-8. */
  readonly charset: string | undefined
  /** Value of the `Tensor-Shape` header, if the request has one. */
  readonly tensorShape: string | undefined
  /** Value of {@link JSON_LENGTH_HEADER}, if the request has one. */
  readonly jsonLength: string | undefined
}

/** Dialects whose requests are tensors. */
export const TENSOR_DIALECTS = ['v1', 'v2', 'grpc'] as const

const SHAPE_NAME = SHAPE_HEADER.toLowerCase()
const DIALECT_NAME = DIALECT_HEADER.toLowerCase()
const PROFILE_NAME = PROFILE_HEADER.toLowerCase()
const JSON_LENGTH_NAME = JSON_LENGTH_HEADER.toLowerCase()

export function readHeaders(headers: readonly WireHeader[]): RequestHeaders {
  let dialect: Dialect | undefined
  let describe = false
  let profile = false
  let accept = ''
  let acceptEncoding = ''
  let contentEncoding = ''
  let charset: string | undefined
  let tensorShape: string | undefined
  let jsonLength: string | undefined
  for (const [name, value] of headers) {
    // Few header names have these lengths, so most names are never converted to lower case.
    switch (name.length) {
      case 6:
        if (name.toLowerCase() === 'accept') accept = joined(accept, value)
        break
      case 8:
        if (name.toLowerCase() === 'describe') describe = value.trim().toLowerCase() === 'true'
        break
      case 12:
        if (name.toLowerCase() === SHAPE_NAME) tensorShape = value
        else if (name.toLowerCase() === 'content-type') charset = charsetOf(value)
        break
      case 13:
        if (name.toLowerCase() === DIALECT_NAME) dialect = dialectOf(value)
        else if (name.toLowerCase() === PROFILE_NAME) profile = true
        break
      case 15:
        if (name.toLowerCase() === 'accept-encoding') acceptEncoding = joined(acceptEncoding, value)
        break
      case 16:
        if (name.toLowerCase() === 'content-encoding')
          contentEncoding = joined(contentEncoding, value.trim().toLowerCase())
        break
      case 31:
        if (name.toLowerCase() === JSON_LENGTH_NAME) jsonLength = joined(jsonLength ?? '', value)
        break
    }
  }
  return {
    dialect,
    describe,
    profile,
    accept,
    acceptEncoding,
    contentEncoding,
    charset,
    tensorShape,
    jsonLength,
  }
}

/**
 * Whether the client prefers raw bytes to JSON, by quality. With equal quality, a named type wins
 * over a wildcard, otherwise JSON wins. Other accepted types do not matter, because the response is
 * always one of these two.
 */
export function prefersOctets(accept: string): boolean {
  if (!accept.toLowerCase().includes('octet-stream')) return false
  const octets = preference(accept, 'application/octet-stream')
  const json = preference(accept, 'application/json')
  if (octets.quality !== json.quality) return octets.quality > json.quality
  return octets.quality > 0 && octets.isNamed && !json.isNamed
}

/** A header that occurs twice is read as one list. */
function joined(before: string, value: string): string {
  return before === '' ? value : `${before}, ${value}`
}

function dialectOf(value: string): Dialect | undefined {
  return TENSOR_DIALECTS.find((one) => one === value) ?? TEXT_DIALECTS.find((one) => one === value)
}

/** How much a header `Accept` prefers a type. */
export function preference(accept: string, type: string): { quality: number; isNamed: boolean } {
  const group = `${type.split('/', 1)[0]}/*`
  let best = { quality: 0, isNamed: false, precision: 0 }
  for (const part of accept.toLowerCase().split(',')) {
    const [range = '', ...parameters] = part.split(';').map((text) => text.trim())
    const precision = range === type ? 3 : range === group ? 2 : range === '*/*' ? 1 : 0
    if (precision <= best.precision) continue
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
    const quality = weight === undefined ? 1 : Number(weight)
    best = { quality: Number.isFinite(quality) ? quality : 0, isNamed: precision === 3, precision }
  }
  return best
}
