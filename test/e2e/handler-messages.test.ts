/** Handlers in TypeScript: their steps over gRPC, and images that they prepare over HTTP. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { status as grpcStatus } from '@grpc/grpc-js'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { SUMS } from '../helpers/handler-folder.ts'
import { modelBytes } from '../helpers/onnx-builder.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const FOLDER = temporaryFolder(ofFile)

/** Adds 1 to `a` before the run, and doubles `sum` after it. `ownInfer` takes the run over. */
const STEPS = `import { OnnxHandler, tensor } from 'onnxd/handler'
import type { HandlerRequest, HandlerResponse, Tensors } from 'onnxd/handler'

const mapped = (values: unknown, change: (value: number) => number) =>
  Float32Array.from(Array.from(values as Float32Array, change))

export class Steps extends OnnxHandler {
  override async preprocess(request: HandlerRequest): Promise<Tensors> {
    const { a, b } = await request.tensors()
    if (a === undefined || b === undefined) throw new Error('no inputs')
    return { a: tensor('float32', mapped(a.data, (value) => value + 1), [...a.dims]), b }
  }

  override async postprocess(outputs: Tensors, request: HandlerRequest): Promise<HandlerResponse | object> {
    const { sum } = outputs
    if (sum === undefined) throw new Error('no sum')
    if (Number(sum.data[0]) > 1000) return { own: true }
    const doubled = tensor('float32', mapped(sum.data, (value) => 2 * value), [...sum.dims])
    return request.respond({ ...outputs, sum: doubled })
  }
}
`
const INFER = `import { OnnxHandler } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest, Tensors } from 'onnxd/handler'

export class Infer extends OnnxHandler {
  override infer(inputs: Tensors, _request: HandlerRequest, { model }: HandlerContext): Promise<Tensors> {
    const { a } = inputs
    if (a === undefined || model === undefined) throw new Error('no input')
    return model.run({ a, b: a }) as Promise<Tensors>
  }
}
`
const IMAGES = `import type { HandlerContext } from 'onnxd/handler'

export async function handle(data: readonly { body: Buffer }[] | undefined, { model }: HandlerContext) {
  if (data === undefined || model === undefined) return undefined
  return Promise.all(data.map(async ({ body }) => {
    const inputs = await model.prepareImages(body)
    const { probabilities } = await model.run(inputs) as { probabilities: { data: Float32Array } }
    return String([...probabilities.data].indexOf(Math.max(...probabilities.data)))
  }))
}
`

function handlerModel(name: string, code: string): string {
  const folder = path.join(FOLDER, name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.onnx'), modelBytes(SUMS))
  writeFileSync(path.join(folder, 'service.ts'), code)
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify({ handler: 'service.ts' }))
  return folder
}

function imageHandler(): string {
  const folder = path.join(FOLDER, 'images')
  const digits = path.resolve('examples/digits')
  cpSync(digits, folder, { recursive: true })
  const settings = JSON.parse(readFileSync(path.join(digits, 'model.json'), 'utf8')) as object
  writeFileSync(path.join(folder, 'service.ts'), IMAGES)
  writeFileSync(
    path.join(folder, 'model.json'),
    JSON.stringify({ ...settings, handler: 'service.ts:handle' }),
  )
  return folder
}

const MODELS = [handlerModel('steps', STEPS), handlerModel('infer', INFER), imageHandler()]
const server = () => sharedServer(MODELS, { allowHandlers: true, grpcPort: 0 })

const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)
const inputs = ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2] }))

test('requests over gRPC reach preprocess, infer and postprocess', async (t) => {
  const it = await server()
  const client = new GrpcTestClient(t, it.grpcAddress)
  const request = { inputs, raw_input_contents: [floats(1, 2), floats(3, 4)] }
  const raw = async (model: string): Promise<unknown[]> => {
    const response = await client.ask('ModelInfer', { model_name: model, ...request })
    return response['raw_output_contents'] as Buffer[]
  }
  assert.deepEqual(await raw('steps'), [floats(10, 14), floats(20, 30)])
  assert.deepEqual(await raw('infer'), [floats(2, 4), floats(10, 20)])
  const { outputs } = await client.ask('ModelInfer', {
    model_name: 'steps',
    ...request,
    outputs: [{ name: 'sum' }],
  })
  assert.equal((outputs as unknown[]).length, 1)

  const wrong = { model_name: 'steps', inputs, raw_input_contents: [floats(1), floats(1)] }
  assert.equal((await client.fail('ModelInfer', wrong)).code, grpcStatus.INVALID_ARGUMENT)
  const own = { model_name: 'steps', inputs, raw_input_contents: [floats(1000, 2), floats(3, 4)] }
  const error = await client.fail('ModelInfer', own)
  assert.equal(error.code, grpcStatus.INTERNAL)
  assert.match(error.details, /Return request\.respond\(outputs\)/)
})

test('a handler prepares the images that clients send over HTTP', async () => {
  const it = await server()
  const png = readFileSync(path.join(FOLDER, 'images', 'samples', '7.png'))
  const answer = await it.fetch('/predictions/images', {
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: new Uint8Array(png),
  })
  assert.equal(await answer.text(), '7')
  const wrong = await it.fetch('/predictions/images', { method: 'POST', body: 'no image' })
  assert.ok(wrong.status >= 400, String(wrong.status))
  assert.ok((await json(wrong)) !== undefined)
})
