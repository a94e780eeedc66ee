/** The built-in ONNX handler: loads a model and runs requests with it. */
import { messageWithTimes } from '../../../contract/compute-times.ts'
import { CHANGED_WEIGHTS_CODE } from '../../../contract/shared-weights.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import type { LoadContext, LoadedModel } from '../handler.ts'
import { Batcher } from './batching/batcher.ts'
import type { RequestOutcome } from './batching/batcher.ts'
import type { Decoded, OwnRuns } from './codec.ts'
import { isForTensors } from './codecs/codecs.ts'
import type { Codecs } from './codecs/codecs.ts'
import { decodeBody } from './content-coding.ts'
import { describeModel } from './describe.ts'
import { readHeaders } from './headers.ts'
import { openModel, readFiles } from './open-model.ts'
import type { OpenModel } from './open-model.ts'
import { errorPredictionFor } from './prediction.ts'
import { answerProfile } from './profile/answer.ts'
import type { OnnxSession } from './runtime/session.ts'
import type { ModelMetadata } from './tensors/metadata.ts'
import { checkRows } from './tensors/shape.ts'

/**
 * Loads the model at the context's path, which is a folder or a single `.onnx` file.
 * @throws ServerError `InvalidModelException`, or `InsufficientMemoryException` when memory ran
 * out.
 */
export async function loadOnnxModel(context: LoadContext): Promise<LoadedModel> {
  return new OnnxModel(await openModel(context, await readFiles(context, context.handler)))
}

/** A request as tensors, or its response when the model need not run. */
type OpenedRequest = Decoded | OwnRuns | WirePrediction

/** A loaded model with its codecs. */
class OnnxModel implements LoadedModel {
  readonly needsEventLoop = false
  readonly #session: OnnxSession
  readonly #metadata: ModelMetadata
  readonly #codecs: Codecs
  readonly #batcher: Batcher

  constructor({ session, metadata, codecs, verdict }: OpenModel) {
    this.#session = session
    this.#metadata = metadata
    this.#codecs = codecs
    this.#batcher = new Batcher(session, verdict)
  }

  predict(requests: readonly WireRequest[], startedAt: number): WorkerReply | Promise<WorkerReply> {
    const opened = requests.map((request) => this.#open(request))
    return whenReady(opened, (ready) => this.#run(ready, startedAt))
  }

  #run(opened: readonly OpenedRequest[], startedAt: number): WorkerReply | Promise<WorkerReply> {
    const openedAt = performance.now()
    const outcomes = this.#batcher.run(opened.filter((one) => 'inputs' in one))
    const ran = opened.map((one) => ('perform' in one ? this.#perform(one) : one))
    return whenReady(ran, (ready) => this.#reply(ready, outcomes, { startedAt, openedAt }))
  }

  #reply(
    ran: readonly (Decoded | WirePrediction)[],
    outcomes: readonly RequestOutcome[],
    { startedAt, openedAt }: { readonly startedAt: number; readonly openedAt: number },
  ): WorkerReply | Promise<WorkerReply> {
    const ranAt = performance.now()
    let next = 0
    const answers = ran.map((one) => ('inputs' in one ? this.#answer(one, outcomes[next++]) : one))
    const reply = (predictions: readonly WirePrediction[]): WorkerReply => {
      const message = messageWithTimes({
        input: openedAt - startedAt,
        infer: ranAt - openedAt,
        output: performance.now() - ranAt,
      })
      // Before a response leaves: the run may have used other weights than those that were checked.
      if (!this.#session.isIntact) endWithChangedWeights()
      return { code: 200, message, predictions }
    }
    return whenReady(answers, reply)
  }

  close(): void {
    this.#session.close()
  }

  #open(request: WireRequest): OpenedRequest | Promise<OpenedRequest> {
    const headers = readHeaders(request.headers)
    const { dialect = 'plain', describe } = headers
    try {
      if (describe && dialect === 'plain')
        return describeModel(request.id, this.#metadata, this.#batcher.verdict)
      if (headers.profile) return answerProfile(request.id, this.#session)
      const plain = decodeBody(request, headers, this.#codecs.maxBodyBytes)
      const decoded = this.#codecs[isForTensors(dialect) ? dialect : 'texts'].decode(plain, headers)
      if (!(decoded instanceof Promise)) return this.#checked(decoded)
      return decoded
        .then((one) => this.#checked(one))
        .catch((error: unknown) => errorPredictionFor(request.id, error, headers.dialect))
    } catch (error) {
      return errorPredictionFor(request.id, error, headers.dialect)
    }
  }

  /** A request with texts runs the model itself. */
  #perform(request: OwnRuns): Promise<WirePrediction> {
    return request
      .perform((inputs, names) => this.#session.run(inputs, names))
      .catch((error: unknown) => errorPredictionFor(request.id, error, request.dialect))
  }

  /** @throws ServerError 400 when the batch dimension exceeds the model's limit. */
  #checked(decoded: Decoded | OwnRuns): Decoded | OwnRuns {
    if ('perform' in decoded) return decoded
    const { inputs, maxBatchSize } = this.#metadata
    if (maxBatchSize > 0) checkRows(inputs, decoded.inputs, maxBatchSize)
    return decoded
  }

  #answer(
    decoded: Decoded,
    outcome: RequestOutcome | undefined,
  ): WirePrediction | Promise<WirePrediction> {
    const { id, dialect } = decoded
    try {
      if (outcome === undefined || outcome instanceof Error)
        return errorPredictionFor(id, outcome, dialect)
      const encoded = decoded.encode(outcome)
      if (!(encoded instanceof Promise)) return encoded
      return encoded.catch((error: unknown) => errorPredictionFor(id, error, dialect))
    } catch (error) {
      return errorPredictionFor(id, error, dialect)
    }
  }
}

/** The front-end runs the requests again on a new worker, which gets checked files. */
export function endWithChangedWeights(): never {
  console.error('The mapped weights were changed on the disk, so this worker ends.')
  process.exit(CHANGED_WEIGHTS_CODE)
}

/** Calls `then` at once if possible: promises cost as much as a small run. */
function whenReady<T, R>(
  all: readonly (T | Promise<T>)[],
  then: (ready: readonly T[]) => R | Promise<R>,
): R | Promise<R> {
  const ready = all.filter((one): one is T => !(one instanceof Promise))
  return ready.length === all.length ? then(ready) : Promise.all(all).then(then)
}
