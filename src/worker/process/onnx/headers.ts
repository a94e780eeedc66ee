/** What the handler reads from a request's headers, gathered in one pass over them. */
import type { WireHeader } from '../../wire/messages.ts'
import { SHAPE_HEADER } from './octets.ts'

export interface RequestHeaders {
  readonly accept: string
  readonly contentEncoding: string
  /** The `Tensor-Shape` header, when there is one. */
  readonly tensorShape: string | undefined
}

const SHAPE_NAME = SHAPE_HEADER.toLowerCase()

export function readHeaders(headers: readonly WireHeader[]): RequestHeaders {
  let accept = ''
  let contentEncoding = ''
  let tensorShape: string | undefined
  for (const [name, value] of headers) {
    // Few names have these lengths, so most headers are never lower-cased.
    switch (name.length) {
      case 6:
        if (name.toLowerCase() === 'accept') accept = accept === '' ? value : `${accept},${value}`
        break
      case 12:
        if (name.toLowerCase() === SHAPE_NAME) tensorShape = value
        break
      case 16:
        if (name.toLowerCase() === 'content-encoding') contentEncoding = value.trim().toLowerCase()
        break
    }
  }
  return { accept, contentEncoding, tensorShape }
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
