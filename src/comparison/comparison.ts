/** Types of the responses that are compared, and of the result of a comparison. */

/** A response as the client would get it. */
export interface ComparedResponse {
  readonly status: number
  readonly contentType: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/** How much two responses may differ and still agree. A missing member has its default. */
export interface Tolerance {
  /** Two floats may differ by `absolute + relative · max(|a|, |b|)`. */
  readonly absolute?: number | undefined
  readonly relative?: number | undefined
  /** Maximum Jensen–Shannon divergence of probabilities, from 0 to 1. */
  readonly divergence?: number | undefined
  /** Minimum cosine of the angle between two embeddings. */
  readonly cosine?: number | undefined
  /** Minimum intersection over union of two boxes that show the same object. */
  readonly iou?: number | undefined
}

export interface ComparisonOptions {
  readonly tolerance?: Tolerance | undefined
}

/** The rule for an output; `rules.ts` says which one applies. */
export type OutputKind =
  | 'exact'
  | 'numbers'
  | 'probabilities'
  | 'embedding'
  | 'labels'
  | 'detections'
  | 'bytes'

/** One output of both responses. */
export interface OutputComparison {
  readonly name: string
  readonly kind: OutputKind
  readonly agrees: boolean
  /** From 0 (equal) to 1; `rules.ts` says what it measures. */
  readonly difference: number
  /** The values that the rule has measured. Of several elements, those of the worst one. */
  readonly measures: Readonly<Record<string, number>>
  /** Why it does not agree. */
  readonly reason?: string | undefined
}

/**
 * `identical`: the same bytes; `values`: the outputs were compared; `bytes`: the bodies could not
 * be decoded; `status`, `type`, `form`: these differ, so there is nothing to compare.
 */
export type ComparisonKind = 'identical' | 'values' | 'bytes' | 'status' | 'type' | 'form'

export interface Comparison {
  readonly agrees: boolean
  readonly kind: ComparisonKind
  /** Empty for identical bodies. At most 100, those that do not agree first. */
  readonly outputs: readonly OutputComparison[]
  /** Why the responses do not agree. */
  readonly reason?: string | undefined
}

/** One value in a response. `null` stands for a float that is not a number. */
export type Scalar = number | bigint | string | boolean | null

/** The elements of an output in row-major order. */
export interface Values {
  /** As the response says; empty if it says nothing. */
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: ArrayLike<Scalar>
}

export interface NamedValues extends Values {
  readonly name: string
}

const SHOWN = 120

/** A name or value from a response in a message. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

/** An output that does not agree because it cannot be measured. */
export function unlike(name: string, reason: string, kind: OutputKind = 'exact'): OutputComparison {
  return { name, kind, agrees: false, difference: 1, measures: {}, reason }
}
