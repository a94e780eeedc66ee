/**
 * A model loaded in the test's own process, and requests to it as the protocol loop would hand them
 * over.
 */
import path from 'node:path'
import type { TestContext } from 'node:test'
import { DEFAULT_WORKER_OPTIONS } from '../../src/worker/process/handler.ts'
import type { LoadContext, LoadedModel, WorkerOptions } from '../../src/worker/process/handler.ts'
import { loadOnnxModel } from '../../src/worker/process/onnx/model.ts'
import type {
  WireHeader,
  WireParameter,
  WirePrediction,
  WireRequest,
} from '../../src/worker/wire/messages.ts'
import { ownModels } from './own-models.ts'

// The worker's entry sets this variable, but here onnxruntime runs in the process of the test.
process.env['ORT_DISABLE_TELEMETRY'] ??= '1'

/** What a test says of a request; everything else is usual. */
export interface TestRequest {
  readonly id?: string
  readonly headers?: readonly WireHeader[]
  readonly parameters: readonly WireParameter[]
}

/** Path of a model that the tests write themselves, for example `modelPath('simple', '1')`. */
export function modelPath(...parts: readonly string[]): string {
  return path.join(ownModels(), ...parts)
}

/** Loads a model that is freed after the test. */
export async function loadModel(
  t: TestContext,
  file: string,
  overrides: Partial<Omit<LoadContext, 'options'>> & { options?: Partial<WorkerOptions> } = {},
): Promise<LoadedModel> {
  const model = await loadOnnxModel({
    modelName: 'tested',
    modelPath: file,
    handler: '',
    batchSize: 1,
    gpu: undefined,
    ...overrides,
    options: { ...DEFAULT_WORKER_OPTIONS, ...overrides.options },
  })
  t.after(() => model.close())
  return model
}

export function parameter(name: string, value: string | Buffer, contentType = ''): WireParameter {
  return { name, contentType, value: Buffer.isBuffer(value) ? value : Buffer.from(value) }
}

/** A request with a whole body. */
export function bodyRequest(
  body: unknown,
  contentType = 'application/json',
  headers: readonly WireHeader[] = [],
): TestRequest {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
  return {
    headers,
    parameters: [parameter('body', isRaw ? body : JSON.stringify(body), contentType)],
  }
}

/** The responses to the requests of one frame, in their order. */
export async function predictAll(
  model: LoadedModel,
  requests: readonly TestRequest[],
): Promise<readonly WirePrediction[]> {
  const frame = requests.map((request, index): WireRequest => ({
    id: `r${index}`,
    headers: [],
    ...request,
  }))
  const reply = await model.predict(frame, performance.now())
  return reply.predictions
}

export async function predict(model: LoadedModel, request: TestRequest): Promise<WirePrediction> {
  const [prediction] = await predictAll(model, [request])
  if (prediction === undefined) throw new Error('no prediction')
  return prediction
}

/** The status and the JSON body of a response: `[200, {…}]`. */
export async function ask(model: LoadedModel, request: TestRequest): Promise<[number, unknown]> {
  const { status, body } = await predict(model, request)
  return [status, JSON.parse(body.toString())]
}

/** `status type message` of an error response, or `200` and the body of a successful one. */
export async function problem(model: LoadedModel, request: TestRequest): Promise<string> {
  const { status, body } = await predict(model, request)
  if (status === 200) return `200 ${body.toString()}`
  const { code, type, message } = JSON.parse(body.toString())
  if (code !== status) throw new Error(`code ${code} in an answer of status ${status}`)
  return `${status} ${type} ${message}`
}
