/** What is reported about the shadow of a model: `GET /models/{model}/shadow`. */
import type { OutputKind } from '../../comparison/compare.ts'

/**
 * Why a request was not copied. `busy`: no worker of the version was idle; `not_ready`: it has no
 * worker that is ready; `memory`: the copies at the same time are too large; `too_large`: this copy
 * is; `unsupported`: the version cannot read the request, or the response was streamed; `crashing`:
 * the same request has ended two workers.
 */
export type SkipReason = 'busy' | 'not_ready' | 'memory' | 'too_large' | 'unsupported' | 'crashing'

/** How often an output differed, and by how much. */
export interface OutputReport {
  readonly name: string
  /** The rule that compared it last. */
  readonly kind: OutputKind
  readonly compared: number
  readonly agreed: number
  /** How many differences lie above the previous bound and up to this one, from 0 to 1. */
  readonly differences: readonly { readonly upTo: number; readonly count: number }[]
  readonly largest: number
}

/** Milliseconds of the last requests. */
export interface LatencyReport {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

/** A parameter of a request, in Base64. */
export interface KeptInput {
  readonly name: string
  readonly contentType: string
  readonly base64: string
}

/** One of the requests whose responses differed most. */
export interface WorstRequest {
  /** When the response of the shadow came. */
  readonly time: string
  readonly requestId: string
  /** Version that served the client. */
  readonly version: string
  /** SHA-256 of the body. */
  readonly sha256: string
  readonly agrees: boolean
  readonly difference: number
  readonly reason?: string | undefined
  /** Only with `keepInputs`, and if the request has at most 1 MiB. */
  readonly input?: readonly KeptInput[] | undefined
}

export interface ShadowReport {
  readonly version: string
  readonly share: number
  readonly keepInputs: boolean
  readonly since: string
  /** Requests whose turn it was: `copied` and all that were skipped. */
  readonly chosen: number
  readonly copied: number
  readonly skipped: Readonly<Record<SkipReason, number>>
  readonly running: number
  /** Copies without a response, for example because the worker died. */
  readonly failed: number
  readonly compared: number
  readonly agreed: number
  /** Of them, responses with the same bytes. */
  readonly identical: number
  /** Agreed responses relative to all copies that have ended; absent before the first. */
  readonly agreement?: number | undefined
  /** Outputs of the responses that were not identical. */
  readonly outputs: readonly OutputReport[]
  readonly latencyMs: {
    readonly reference: LatencyReport
    readonly shadow: LatencyReport
  }
  /** The worst first. */
  readonly worst: readonly WorstRequest[]
}
