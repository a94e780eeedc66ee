/** What the codecs read from a request's headers, gathered in one pass over them. */
import { DIALECT_HEADER } from '../../../contract/internal-headers.ts'
import type { Dialect } from '../../../contract/internal-headers.ts'
import type { WireHeader } from '../../wire/messages.ts'
import { SHAPE_HEADER } from './tensors/raw-bytes.ts'

/** Bytes of JSON in front of the binary data of an Open Inference Protocol body, before any compression. */
export const JSON_LENGTH_HEADER = 'Inference-Header-Content-Length'

export interface RequestHeaders {
  /** Absent for what came by the original's routes. */
  readonly dialect: Dialect | undefined
  /** The header `describe: True`, TorchServe's convention, asks for the model's metadata. */
  readonly describe: boolean
  readonly accept: string
  readonly acceptEncoding: string
  /** In lower case, empty when there is none. */
  readonly contentEncoding: string
  /** The `Tensor-Shape` header, when there is one. */
  readonly tensorShape: string | undefined
  /** The {@link JSON_LENGTH_HEADER}, when there is one. */
  readonly jsonLength: string | undefined
}

const SHAPE_NAME = SHAPE_HEADER.toLowerCase()
const DIALECT_NAME = DIALECT_HEADER.toLowerCase()
const JSON_LENGTH_NAME = JSON_LENGTH_HEADER.toLowerCase()

export function readHeaders(headers: readonly WireHeader[]): RequestHeaders {
  let dialect: Dialect | undefined
  let describe = false
  let accept = ''
  let acceptEncoding = ''
  let contentEncoding = ''
  let tensorShape: string | undefined
  let jsonLength: string | undefined
  for (const [name, value] of headers) {
    // Few names have these lengths, so most headers are never lower-cased.
    switch (name.length) {
      case 6:
        if (name.toLowerCase() === 'accept') accept = joined(accept, value)
        break
      case 8:
        if (name.toLowerCase() === 'describe') describe = value.trim().toLowerCase() === 'true'
        break
      case 12:
        if (name.toLowerCase() === SHAPE_NAME) tensorShape = value
        break
      case 13:
        if (name.toLowerCase() === DIALECT_NAME) dialect = dialectOf(value)
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
  return { dialect, describe, accept, acceptEncoding, contentEncoding, tensorShape, jsonLength }
}

/**
 * Does the client prefer raw bytes to JSON? By quality; on equal terms the type that is named wins over a
 * wildcard, and JSON wins over octets. What else is accepted does not matter: the answer is one of the two.
 */
export function prefersOctets(accept: string): boolean {
  if (!accept.toLowerCase().includes('octet-stream')) return false
  const octets = preference(accept, 'application/octet-stream')
  const json = preference(accept, 'application/json')
  if (octets.quality !== json.quality) return octets.quality > json.quality
  return octets.quality > 0 && octets.isNamed && !json.isNamed
}

/** A header that is given twice is one list. */
function joined(before: string, value: string): string {
  return before === '' ? value : `${before}, ${value}`
}

function dialectOf(value: string): Dialect | undefined {
  return value === 'v1' || value === 'v2' ? value : undefined
}

function preference(accept: string, type: string): { quality: number; isNamed: boolean } {
  let best = { quality: 0, isNamed: false, precision: 0 }
  for (const part of accept.toLowerCase().split(',')) {
    const [range = '', ...parameters] = part.split(';').map((text) => text.trim())
    const precision = range === type ? 3 : range === 'application/*' ? 2 : range === '*/*' ? 1 : 0
    if (precision <= best.precision) continue
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
    const quality = weight === undefined ? 1 : Number(weight)
    best = { quality: Number.isFinite(quality) ? quality : 0, isNamed: precision === 3, precision }
  }
  return best
}
