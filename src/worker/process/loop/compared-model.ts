import { COMPARE_HEADER } from '../../../contract/internal-headers.ts'
import type { ShadowReference, ShadowResult } from '../../../contract/shadow-copy.ts'
import type { WireRequest, WorkerReply } from '../../wire/messages.ts'
import type { LoadedModel, ModelReply } from '../handler.ts'

/** A reference is never longer. */
const MAX_STREAM_BYTES = 16 * 1024 * 1024

/**
 * Runs copies of requests for a shadow version and compares the responses with those that the
 * clients got. All other requests go to the model unchanged.
 */
export class ComparedModel implements LoadedModel {
  readonly needsEventLoop: boolean
  readonly #model: LoadedModel

  constructor(model: LoadedModel) {
    this.needsEventLoop = model.needsEventLoop
    this.#model = model
  }

  predict(requests: readonly WireRequest[], startedAt: number): Promise<ModelReply> | ModelReply {
    const [first] = requests
    // The front-end adds the header as the last one, and sends each copy alone.
    const last = first?.headers.at(-1)
    return first !== undefined && last?.[0] === COMPARE_HEADER
      ? this.#compare(first, last[1])
      : this.#model.predict(requests, startedAt)
  }

  close(): Promise<void> | void {
    return this.#model.close()
  }

  async #compare(copy: WireRequest, value: string): Promise<WorkerReply> {
    const { id } = copy
    const { tolerance, ...reference } = JSON.parse(value) as ShadowReference
    const body = copy.parameters.at(-1)?.value ?? Buffer.alloc(0)
    const request: WireRequest = {
      id,
      headers: copy.headers.slice(0, -1),
      parameters: copy.parameters.slice(0, -1),
    }
    // Workers whose version is not a shadow do not load this code.
    const [{ compareResponses }, { requestDigest }] = await Promise.all([
      import('../../../comparison/compare.ts'),
      import('../../../contract/shadow-copy.ts'),
    ])
    // A handler may change the memory of its request.
    const sha256 = requestDigest(request.parameters)
    const begun = performance.now()
    const reply = await wholeReply(await this.#model.predict([request], begun))
    const ms = performance.now() - begun
    const [prediction] = reply.predictions
    const isWhole = reply.code === 200 && prediction !== undefined
    const candidate = isWhole
      ? prediction
      : { status: reply.code, contentType: '', headers: [], body: Buffer.alloc(0) }
    const comparison = compareResponses({ ...reference, body }, candidate, { tolerance })
    const result: ShadowResult = { comparison, ms, sha256 }
    return {
      code: 200,
      message: reply.message,
      predictions: [
        {
          id,
          contentType: 'application/json',
          status: 200,
          reason: '',
          headers: [],
          body: Buffer.from(JSON.stringify(result)),
        },
      ],
    }
  }
}

/** A streamed response as one; a response that is too long ends early, and so differs. */
async function wholeReply(first: ModelReply): Promise<WorkerReply> {
  const { more } = first
  const [prediction] = first.predictions
  if (more === undefined || prediction === undefined) return first
  const chunks = [prediction.body]
  let bytes = prediction.body.length
  let code = first.code
  for (let next = await more.next(); next !== undefined; next = await more.next()) {
    if (next.code !== 200) code = next.code
    const body = next.predictions[0]?.body ?? Buffer.alloc(0)
    bytes += body.length
    if (bytes > MAX_STREAM_BYTES) more.cancel()
    else chunks.push(body)
  }
  return { ...first, code, predictions: [{ ...prediction, body: Buffer.concat(chunks) }] }
}
