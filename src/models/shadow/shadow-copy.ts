/** Copies a request and its response for a shadow version. */
import { randomUUID } from 'node:crypto'
import { largeBuffers } from '../../buffer-pool.ts'
import { COMPARE_HEADER } from '../../contract/internal-headers.ts'
import { REFERENCE_BODY, requestDigest } from '../../contract/shadow-copy.ts'
import type { ShadowReference, ShadowResult } from '../../contract/shadow-copy.ts'
import type { ServedRequest } from '../../worker/host/calls/call-channel.ts'
import type { WireParameter } from '../../worker/wire/messages.ts'
import { sizeOf } from './crashing-requests.ts'
import type { ObservedPrediction } from './observed-prediction.ts'
import type { KeptInput } from './report.ts'
import type { Shadow } from './shadow-settings.ts'

/** Larger requests are not kept for the report. */
const MAX_KEPT_BYTES = 1024 * 1024
/** A header that says how a body is to be read is short. */
const MAX_HEADER = 1024
const MAX_HEADERS = 50

/** A copy that belongs to the shadow until {@link release}. */
export class ShadowCopy {
  readonly requestId: string
  /** Version that served the client. */
  readonly version: string
  readonly headers: ObservedPrediction['headers']
  readonly parameters: readonly WireParameter[]
  readonly reference: ShadowReference
  readonly body: Buffer
  /** How long the version that served took, in milliseconds, as far as its worker reports it. */
  readonly referenceMs: number
  /** Models that have called one another for the request. */
  readonly #chain: readonly string[]

  constructor(prediction: ObservedPrediction, { tolerance }: Shadow) {
    const { parameters, response, accepted, options, model } = prediction
    const { timing } = accepted
    this.requestId = options.requestId ?? ''
    this.version = model.version
    this.#chain = [...(options.chain ?? []), model.name]
    this.headers = prediction.headers
    this.parameters = parameters.map((one) => ({ ...one, value: copyOf(one.value) }))
    this.body = copyOf(response.body)
    const { status, contentType } = response
    this.reference = {
      status,
      contentType,
      headers: response.headers
        .filter(([name, value]) => name.length + value.length <= MAX_HEADER)
        .slice(0, MAX_HEADERS),
      ...(tolerance !== undefined && { tolerance }),
    }
    const { compute } = timing
    this.referenceMs =
      compute === undefined ? timing.workerMs : compute.input + compute.infer + compute.output
  }

  /** The request as the client sent it. */
  get plainRequest(): ServedRequest {
    const { headers, parameters } = this
    const origin = { chain: this.#chain, deadline: undefined }
    return { id: randomUUID(), headers, parameters, origin }
  }

  /** The request for onnxd's own worker, which compares the responses. */
  get comparedRequest(): ServedRequest {
    const { headers, parameters, ...request } = this.plainRequest
    const last: WireParameter = { name: REFERENCE_BODY, contentType: '', value: this.body }
    return {
      ...request,
      headers: [...headers, [COMPARE_HEADER, JSON.stringify(this.reference)]],
      parameters: [...parameters, last],
    }
  }

  get sha256(): string {
    return requestDigest(this.parameters)
  }

  /** The request for the report. */
  get keptInput(): readonly KeptInput[] | undefined {
    if (sizeOf(this.parameters) > MAX_KEPT_BYTES) return undefined
    return this.parameters.map(({ name, contentType, value }) => ({
      name,
      contentType,
      base64: value.toString('base64'),
    }))
  }

  /** Makes the memory available to other bodies. Nobody may read the copy afterwards. */
  release(): void {
    for (const { value } of this.parameters) largeBuffers.give(value)
    largeBuffers.give(this.body)
  }
}

/** The size of a copy. */
export function bytesOf({ parameters, response }: ObservedPrediction): number {
  return sizeOf(parameters) + response.body.length
}

/**
 * Reads what a worker found. The code of a handler runs in the same process, so it is checked.
 * @throws Error if it is not a result.
 */
export function readResult(body: Buffer): ShadowResult {
  const result = JSON.parse(body.toString()) as Partial<ShadowResult> | null
  const { comparison, ms, sha256 } = result ?? {}
  const isResult =
    typeof ms === 'number' &&
    typeof sha256 === 'string' &&
    typeof comparison?.agrees === 'boolean' &&
    Array.isArray(comparison.outputs)
  if (!isResult) throw new TypeError('the worker did not respond with a comparison')
  return { comparison, ms, sha256 }
}

function copyOf(value: Buffer): Buffer {
  const memory = largeBuffers.take(value.length)
  value.copy(memory)
  return memory.subarray(0, value.length)
}
