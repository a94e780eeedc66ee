/** A model that a custom handler serves, with the handler contract of MMS in JavaScript. */
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import type { OnnxModel } from '../../../../types/handler.d.ts'
import { ServerError } from '../../../errors.ts'
import { MANIFEST_FILE } from '../../../model-folder/paths.ts'
import { readPackageVersion } from '../../../package-files.ts'
import type { WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { LoadContext, LoadedModel, ModelReply, WorkerOptions } from '../handler.ts'
import {
  errorPrediction,
  jsonPrediction,
  predictFailedReply,
  withinLimit,
} from '../loop/replies.ts'
import type { OpenModel } from '../onnx/open-model.ts'
import { reportError } from '../report-error.ts'
import { HandlerContext } from './context.ts'
import type { ModelFacts } from './context.ts'
import { readParameters } from './input.ts'
import type { HandlerInput, InputSettings } from './input.ts'
import { MetricsPrinter } from './metrics.ts'
import { importUserCode } from './module.ts'
import type { UserCode } from './module.ts'
import { openHandlerModel } from './onnx-model/open-model.ts'
import { replyWith } from './result.ts'
import { ServerCalls } from './server-calls.ts'
import type { StepParts } from './steps/step-model.ts'
import { withStreams } from './streams/find-streams.ts'

/**
 * Header `describe: True`, by TorchServe's convention: the request asks for a description of the
 * model.
 */
const DESCRIBE_HEADER = 'describe'
const DESCRIBE_VALUE = 'True'

/**
 * Imports the code that `context.handler` names and initializes it.
 * @throws any error of that code, and ServerError `InvalidModelException` when it has no entry
 * point.
 */
export async function loadCustomModel(
  context: LoadContext,
  decodeInput: boolean,
): Promise<LoadedModel> {
  const isFolder = (await stat(context.modelPath)).isDirectory()
  const folder = isFolder ? context.modelPath : path.dirname(context.modelPath)
  const code = await importUserCode(folder, context.handler)
  const open = await openHandlerModel(context)
  const facts: ModelFacts = {
    modelName: context.modelName,
    handler: context.handler,
    manifest: await readManifest(folder),
    systemProperties: {
      modelDir: folder,
      gpuId: context.gpu ?? null,
      batchSize: context.batchSize,
      serverName: 'MMS',
      serverVersion: await readPackageVersion(),
    },
    calls: context.calls ?? channelTo(context.options),
    model: open && (await handlerModel(open, context.options)),
  }
  const printer = new MetricsPrinter(context.hidesMetrics)
  const startContext = new HandlerContext(facts, [])
  try {
    const model = await createModel(code, open, { facts, options: context.options, printer })
    await code.initialize(startContext)
    printer.print(startContext.metrics)
    return model ?? new CustomModel(code, facts, { ...context.options, decodeInput }, printer, open)
  } catch (error) {
    open?.session.close()
    throw error
  }
}

/** The channel to the front-end; `undefined` if the front-end is not that of onnxd. */
function channelTo(options: WorkerOptions): ServerCalls | undefined {
  return options.calls === 0 ? undefined : new ServerCalls(options)
}

/** The code of the built-in handler is imported only for a folder with an ONNX model. */
async function handlerModel(open: OpenModel, options: WorkerOptions): Promise<OnnxModel> {
  const { HandlerModel } = await import('./onnx-model/handler-model.ts')
  return new HandlerModel(open, options)
}

/** The model of a handler with steps; `undefined` for another handler. */
async function createModel(
  { steps: handler }: UserCode,
  open: OpenModel | undefined,
  parts: Omit<StepParts, 'handler' | 'open'>,
): Promise<LoadedModel | undefined> {
  if (handler === undefined) return undefined
  if (open === undefined) {
    const text =
      'A class that extends OnnxHandler needs an .onnx file in its folder. With several, name one as "model" in model.json.'
    throw new ServerError('InvalidModelException', text)
  }
  const { StepLoadedModel } = await import('./steps/step-model.ts')
  return new StepLoadedModel({ ...parts, handler, open })
}

type CustomSettings = InputSettings & Pick<WorkerOptions, 'maxResponseBytes' | 'streams'>

class CustomModel implements LoadedModel {
  readonly needsEventLoop = true
  readonly #code: UserCode
  readonly #facts: ModelFacts
  readonly #settings: CustomSettings
  readonly #printer: MetricsPrinter
  readonly #open: OpenModel | undefined

  constructor(
    code: UserCode,
    facts: ModelFacts,
    settings: CustomSettings,
    printer: MetricsPrinter,
    open: OpenModel | undefined,
  ) {
    this.#open = open
    this.#code = code
    this.#facts = facts
    this.#settings = settings
    this.#printer = printer
  }

  /** Requests with invalid input get their own error response; the others run as one batch. */
  async predict(requests: readonly WireRequest[]): Promise<ModelReply> {
    const runnable: WireRequest[] = []
    const data: HandlerInput[] = []
    const answered = new Map<WireRequest, WirePrediction>()
    for (const request of requests) {
      if (isDescribe(request)) {
        answered.set(request, await this.#describe(request))
        continue
      }
      try {
        data.push(readParameters(request, this.#settings))
        runnable.push(request)
      } catch (error) {
        if (!(error instanceof ServerError)) throw error
        answered.set(request, errorPrediction(request.id, error))
      }
    }
    const reply = await this.#run(data, runnable)
    const predictions =
      answered.size === 0 ? reply.predictions : merge(requests, answered, reply.predictions)
    if (reply.more !== undefined) return { ...reply, predictions }
    return withinLimit({ ...reply, predictions }, this.#settings.maxResponseBytes)
  }

  close(): void {
    this.#open?.session.close()
  }

  async #run(data: readonly HandlerInput[], requests: readonly WireRequest[]): Promise<ModelReply> {
    const context = new HandlerContext(this.#facts, requests)
    if (requests.length === 0) return replyWith([], requests, context)
    const startedAt = performance.now()
    const printMetrics = (): void => {
      const elapsedMs = performance.now() - startedAt
      context.metrics.addTime('PredictionTime', Math.round(elapsedMs * 100) / 100)
      this.#printer.print(context.metrics)
    }
    let reply: ModelReply
    try {
      const output = await this.#code.handle(data, context)
      const elements = withStreams(output, requests.length)
      if (elements !== undefined) {
        const { streamReply } = await import('./streams/stream-reply.ts')
        return await streamReply(elements, requests, context, this.#settings, printMetrics)
      }
      reply = replyWith(output, requests, context)
    } catch (error) {
      reportError('Prediction failed', error)
      reply = predictFailedReply(error, requests)
    }
    if (reply.code === 200) printMetrics()
    else this.#printer.print(context.metrics)
    return reply
  }

  async #describe(request: WireRequest): Promise<WirePrediction> {
    const { describe } = this.#code
    try {
      const { modelName, handler } = this.#facts
      const metadata = { modelName, handler, runtime: `Node ${process.versions.node}` }
      const described = await describe?.(new HandlerContext(this.#facts, [request]))
      return jsonPrediction(request.id, 200, described ?? metadata)
    } catch (cause) {
      reportError('The model cannot describe itself', cause)
      const message = 'The model cannot describe itself.'
      return errorPrediction(request.id, new ServerError('InternalServerException', message))
    }
  }
}

function isDescribe(request: WireRequest): boolean {
  return request.headers.some(
    ([name, value]) => name === DESCRIBE_HEADER && value === DESCRIBE_VALUE,
  )
}

/**
 * Puts all predictions into the order of the requests. `rest` has the predictions of the requests
 * that ran, in order.
 */
function merge(
  requests: readonly WireRequest[],
  answered: ReadonlyMap<WireRequest, WirePrediction>,
  rest: readonly WirePrediction[],
): WirePrediction[] {
  const remaining = rest.values()
  const predictions: WirePrediction[] = []
  for (const request of requests) {
    const prediction = answered.get(request) ?? remaining.next().value
    if (prediction !== undefined) predictions.push(prediction)
  }
  return predictions
}

/**
 * Returns the whole manifest, unchecked, because MMS also passes it to the handler unchanged.
 * @throws ServerError `InvalidModelException` when it is not JSON.
 */
async function readManifest(folder: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path.join(folder, MANIFEST_FILE), 'utf8'))
  } catch (cause) {
    if (cause instanceof SyntaxError) {
      throw new ServerError('InvalidModelException', `Failed to parse ${MANIFEST_FILE}.`, { cause })
    }
    return null
  }
}
