/** A model with an `OnnxHandler`: the built-in handler with steps of its own. */
import { messageWithTimes } from '../../../../contract/compute-times.ts'
import { ServerError } from '../../../../errors.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { LoadedModel, ModelReply, WorkerOptions } from '../../handler.ts'
import { jsonPrediction, withinLimit } from '../../loop/replies.ts'
import { Batcher } from '../../onnx/batching/batcher.ts'
import type { OwnRuns } from '../../onnx/codec.ts'
import { describeModel } from '../../onnx/describe.ts'
import { endWithChangedWeights } from '../../onnx/model.ts'
import type { OpenModel } from '../../onnx/open-model.ts'
import type { Tensor } from '../../onnx/tensors/tensor.ts'
import { HandlerContext } from '../context.ts'
import type { ModelFacts } from '../context.ts'
import type { MetricsPrinter } from '../metrics.ts'
import { BuiltInSteps } from '../onnx-model/built-in-steps.ts'
import { giveTensors, takeTensors } from '../onnx-model/handler-tensors.ts'
import { isStream } from '../streams/find-streams.ts'
import { failed } from './failure.ts'
import type { Step } from './failure.ts'
import { isBuiltInStep } from './handler-class.ts'
import type { StepHandler } from './handler-class.ts'
import { StepRequest } from './request.ts'
import type { StepModel } from './request.ts'
import { StepResponse, predictionOf } from './response.ts'
import { SharedRun } from './shared-run.ts'
import { StreamedResult, replyWithStreams } from './streams.ts'

/** What the handler is loaded with. */
export interface StepParts {
  readonly handler: StepHandler
  readonly open: OpenModel
  readonly facts: ModelFacts
  readonly options: WorkerOptions
  readonly printer: MetricsPrinter
}

/** A request on its way through the steps. */
interface Job {
  readonly context: HandlerContext
  /** The request, or the one that `preprocess` put in its place. */
  request: StepRequest
  step: Step
  isWaitedFor: boolean
}

export class StepLoadedModel implements LoadedModel {
  readonly needsEventLoop = true
  readonly #parts: StepParts
  readonly #model: StepModel
  readonly #batcher: Batcher
  /** The outputs of the model, all of them. */
  readonly #names: readonly string[]
  readonly #ownsInfer: boolean
  readonly #ownsPostprocess: boolean

  constructor(parts: StepParts) {
    const { open, options, handler } = parts
    this.#parts = parts
    this.#model = { open, options, steps: new BuiltInSteps(open, options) }
    this.#batcher = new Batcher(open.session, open.verdict)
    this.#names = open.metadata.outputs.map(({ name }) => name)
    this.#ownsInfer = !isBuiltInStep(handler, 'infer')
    this.#ownsPostprocess = !isBuiltInStep(handler, 'postprocess')
  }

  async predict(requests: readonly WireRequest[], startedAt: number): Promise<ModelReply> {
    const { facts, options, printer, open } = this.#parts
    const shared = new SharedRun(this.#batcher, requests.length)
    const jobs = requests.map((wire): Job => ({
      request: new StepRequest(wire, this.#model),
      context: new HandlerContext(facts, [wire]),
      step: 'preprocess',
      isWaitedFor: true,
    }))
    const results = await Promise.all(jobs.map((job) => this.#serve(job, shared)))
    const { runMs } = shared
    const elapsedMs = performance.now() - startedAt
    const printMetrics = (): void => {
      for (const { context } of jobs) {
        context.metrics.addTime('PredictionTime', Math.round(elapsedMs * 100) / 100)
        printer.print(context.metrics)
      }
    }
    // Before a response leaves: the run may have used other weights than those that were checked.
    if (!open.session.isIntact) endWithChangedWeights()
    if (results.some((one) => one instanceof StreamedResult)) {
      return replyWithStreams(requests, results, options, printMetrics)
    }
    printMetrics()
    const predictions = results.filter((one) => 'body' in one)
    const message = messageWithTimes({ input: elapsedMs - runMs, infer: runMs, output: 0 })
    return withinLimit({ code: 200, message, predictions }, options.maxResponseBytes)
  }

  close(): void {
    this.#parts.open.session.close()
  }

  /** Never throws: an error fails this request only. */
  async #serve(job: Job, shared: SharedRun): Promise<WirePrediction | StreamedResult> {
    try {
      const { requestHeaders, id, protocol } = job.request
      if (requestHeaders.describe && protocol === 'predictions') return this.#describe(id)
      const inputs = await this.#preprocess(job)
      job.step = 'infer'
      if ('perform' in inputs) return await this.#perform(inputs, job, shared)
      const names = this.#ownsPostprocess ? this.#names : await job.request.outputNames()
      const outputs = this.#ownsInfer
        ? await this.#infer(inputs, names, job)
        : await leaveAfter(job, shared.run({ inputs, outputNames: names }))
      job.step = 'postprocess'
      return await this.#postprocess(outputs, names, job)
    } catch (error) {
      return failed(job.request, job.step, error)
    } finally {
      // The others must not wait for a request that has failed.
      if (job.isWaitedFor) void leaveAfter(job, shared.arrive())
    }
  }

  /** Returns the inputs, or a request of texts that runs the model itself. */
  async #preprocess(job: Job): Promise<readonly Tensor[] | OwnRuns> {
    const { handler, open } = this.#parts
    const result: unknown = await handler.preprocess(job.request, job.context)
    if (!(result instanceof StepRequest)) {
      const inputs = takeTensors('Input', result, open.metadata.inputs)
      job.request.useInputs(inputs)
      return inputs
    }
    job.request = result
    const decoded = await result.decode()
    if ('perform' in decoded && !this.#ownsInfer && !this.#ownsPostprocess) return decoded
    const inputs = await result.readInputs()
    result.useInputs(inputs)
    return inputs
  }

  /** All requests of texts begin in the same turn, so that they share runs. */
  async #perform(request: OwnRuns, job: Job, shared: SharedRun): Promise<WirePrediction> {
    await leaveAfter(job, shared.arrive())
    const { session } = this.#parts.open
    return request.perform((inputs, names) => session.run(inputs, names))
  }

  async #infer(
    inputs: readonly Tensor[],
    names: readonly string[],
    { request, context }: Job,
  ): Promise<readonly Tensor[]> {
    const { handler, open } = this.#parts
    const { metadata } = open
    const given = giveTensors(
      metadata.inputs.map(({ name }) => name),
      inputs,
    )
    const outputs: unknown = await handler.infer(given, request, context)
    const wanted = names.flatMap((name) => metadata.outputs.filter((spec) => spec.name === name))
    return takeTensors('Output', outputs, metadata.outputs, wanted)
  }

  async #postprocess(
    outputs: readonly Tensor[],
    names: readonly string[],
    { request, context }: Job,
  ): Promise<WirePrediction | StreamedResult> {
    if (!this.#ownsPostprocess) {
      return predictionOf(await request.respondWith(outputs), request.wire, context)
    }
    const given = giveTensors(names, outputs)
    const result: unknown = await this.#parts.handler.postprocess(given, request, context)
    if (request.protocol === 'grpc') checkMessage(result)
    if (isStream(result)) return new StreamedResult(result, request, context)
    return predictionOf(result, request.wire, context)
  }

  #describe(id: string): WirePrediction {
    const { handler, open, facts } = this.#parts
    if (isBuiltInStep(handler, 'preprocess')) {
      const steps = { ownResponses: this.#ownsPostprocess, readsMessages: true }
      return describeModel(id, open.metadata, this.#batcher.verdict, steps)
    }
    const { modelName, handler: name } = facts
    const runtime = `Node ${process.versions.node}`
    return jsonPrediction(id, 200, { modelName, handler: name, runtime, readsMessages: true })
  }
}

/** @throws ServerError for a response that is no message of gRPC. */
function checkMessage(result: unknown): void {
  if (result instanceof StepResponse) return
  const text =
    'The handler responds with something else than the outputs of the model, which gRPC has no message for. Return request.respond(outputs), or use REST.'
  throw new ServerError('InternalServerException', text)
}

function leaveAfter<T>(job: Job, done: Promise<T>): Promise<T> {
  job.isWaitedFor = false
  return done
}
