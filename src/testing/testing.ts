/** The module `onnxd/testing`: a model and its handler in the process of a test. */
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadOptions, RequestOptions, TestModel, TestRequest } from '../../types/testing.d.ts'
import { ServerError } from '../errors.ts'
import { readModelFiles } from '../model-folder/files.ts'
import { DEFAULT_WORKER_OPTIONS } from '../worker/process/handler.ts'
import type { LoadedModel } from '../worker/process/handler.ts'
import { loadModel as loadWorkerModel } from '../worker/process/start/loader.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../worker/wire/messages.ts'
import { TestCalls } from './model-calls.ts'
import { modelNameOf, versionFolder } from './version-folder.ts'
import { wireRequest } from './wire-request.ts'

/** As in a worker: onnxruntime sends no telemetry. */
const NO_TELEMETRY = 'ORT_DISABLE_TELEMETRY'
/** Statuses whose responses have no body. */
const WITHOUT_BODY: readonly number[] = [204, 205, 304]

/**
 * Loads the model of a folder or an `.onnx` file, and its handler. Of a folder with numbered
 * versions, the highest one.
 * @throws Error with the reason that the server would show.
 */
export async function loadModel(
  location: string | URL,
  { handler, name, batchSize = 1, threads = 1, models = {} }: LoadOptions = {},
): Promise<TestModel> {
  process.env[NO_TELEMETRY] ??= '1'
  const modelPath = await versionFolder(
    path.resolve(
      location instanceof URL || location.startsWith('file:') ? fileURLToPath(location) : location,
    ),
  )
  const { settings, manifest } = await readModelFiles(modelPath, handler)
  const loaded = await loadWorkerModel(
    {
      modelName: name ?? modelNameOf(modelPath),
      modelPath,
      handler: handler ?? settings.handler ?? manifest?.model?.handler ?? '',
      batchSize,
      gpu: undefined,
      options: { ...DEFAULT_WORKER_OPTIONS, warmUp: false, threads: settings.threads ?? threads },
      calls: new TestCalls(models),
      hidesMetrics: true,
    },
    true,
  )
  return new LocalModel(loaded)
}

class LocalModel implements TestModel {
  readonly #model: LoadedModel
  #lastRun: Promise<unknown> = Promise.resolve()

  constructor(model: LoadedModel) {
    this.#model = model
  }

  async predict(body?: unknown, options: RequestOptions = {}): Promise<Response> {
    const [response] = await this.predictBatch([{ ...options, body }])
    if (response === undefined) throw new TypeError('The model returned no response.')
    return response
  }

  async predictBatch(requests: readonly TestRequest[]): Promise<Response[]> {
    const reply = await this.#run(requests.map(wireRequest))
    return requests.map((_, index) => responseOf(reply, reply.predictions[index]))
  }

  async describe(): Promise<unknown> {
    const response = await this.predict(undefined, { headers: { describe: 'True' } })
    return response.json()
  }

  async close(): Promise<void> {
    await this.#lastRun
    await this.#model.close()
  }

  /** Batches run one after another, as in a worker. */
  #run(requests: readonly WireRequest[]): Promise<WorkerReply> {
    const run = this.#lastRun.then(() => this.#model.predict(requests, performance.now()))
    this.#lastRun = run.catch(() => undefined)
    return run
  }
}

/** The response that a client would get. */
function responseOf(reply: WorkerReply, prediction: WirePrediction | undefined): Response {
  if (reply.code !== 200 || prediction === undefined) {
    const statusCode = reply.code >= 400 && reply.code <= 599 ? reply.code : 500
    const error = new ServerError('InternalServerException', reply.message, { statusCode })
    return Response.json(error.toBody(), { status: statusCode })
  }
  const { status, reason, contentType, body } = prediction
  const headers = new Headers(
    prediction.headers.map(([name, value]): [string, string] => [name, value]),
  )
  headers.set('content-type', contentType || 'application/octet-stream')
  return new Response(WITHOUT_BODY.includes(status) ? null : new Uint8Array(body), {
    status,
    statusText: reason,
    headers,
  })
}
