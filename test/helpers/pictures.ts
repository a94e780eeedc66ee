/** What the tests of the image handler and of the examples share. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { ServerError } from '../../src/errors.ts'
import type { ErrorType } from '../../src/errors.ts'
import type { TensorSpec } from '../../src/worker/process/onnx/tensors/metadata.ts'
import type { Datatype } from '../../src/worker/process/onnx/tensors/tensor.ts'
import type { WireParameter, WirePrediction, WireRequest } from '../../src/worker/wire/messages.ts'
import { loadRequest, startWorker } from './worker-client.ts'

/** An input or output of a model. */
export function spec(
  shape: readonly number[],
  datatype: Datatype = 'FP32',
  name = 'image',
): TensorSpec {
  return { name, datatype, shape, dimensions: shape }
}

/** The body of a request, or with a name a part of a form. */
export function parameter(value: Buffer, contentType = '', name = 'body'): WireParameter {
  return { name, contentType, value }
}

export function request(...parameters: readonly WireParameter[]): WireRequest {
  return { id: 'r1', headers: [], parameters }
}

/** For `assert.throws` and `assert.rejects`. */
export function failsWith(type: ErrorType, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ServerError, String(error))
    assert.equal(error.type, type, error.message)
    assert.match(error.message, pattern)
    return true
  }
}

/** A model that {@link load} has loaded. */
export interface TestModel {
  predict(requests: readonly WireRequest[]): Promise<readonly WirePrediction[]>
  ask(incoming: WireRequest): Promise<WirePrediction>
}

/** Loads a model in a worker process of its own. Rejects with the code and message of its reply. */
export async function load(t: TestContext, modelPath: string): Promise<TestModel> {
  const worker = await startWorker(t)
  const client = await worker.connect()
  const { code, message } = await client.load(loadRequest({ modelPath, handler: '' }))
  if (code !== 200) throw new Error(`${code} ${message}`)
  const predict: TestModel['predict'] = async (requests) =>
    (await client.predict(requests)).predictions
  const ask: TestModel['ask'] = async (incoming) => {
    const [prediction] = await predict([incoming])
    assert.ok(prediction !== undefined)
    return prediction
  }
  return { predict, ask }
}
