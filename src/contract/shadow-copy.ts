/**
 * A copy of a request for a shadow version: what the front-end sends to its own worker besides the
 * request, and what the worker responds with.
 */
import { createHash } from 'node:crypto'
import type { Comparison, Tolerance } from '../comparison/compare.ts'

/** The response of the reference without its body. */
export interface ShadowReference {
  readonly status: number
  readonly contentType: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly tolerance?: Tolerance | undefined
}

/** What the worker of the shadow version found. */
export interface ShadowResult {
  readonly comparison: Comparison
  /** Time of the run in milliseconds, without the comparison. */
  readonly ms: number
  /** See {@link requestDigest}. */
  readonly sha256: string
}

/** Name of the parameter with the body of the reference. */
export const REFERENCE_BODY = 'Onnxd-Reference'

/**
 * SHA-256 of a request in hexadecimal digits: of the body as it was sent, or of the names, lengths
 * and values of several parameters.
 */
export function requestDigest(
  parameters: readonly { readonly name: string; readonly value: Buffer }[],
): string {
  const hash = createHash('sha256')
  const [first, ...others] = parameters
  if (first !== undefined && others.length === 0) return hash.update(first.value).digest('hex')
  for (const { name, value } of parameters) hash.update(`${name}\0${value.length}\0`).update(value)
  return hash.digest('hex')
}
