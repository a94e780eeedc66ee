/** Loads a model in this process and sends JSON bodies to it. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { DEFAULT_WORKER_OPTIONS } from '../../src/worker/process/handler.ts'
import { loadOnnxModel } from '../../src/worker/process/onnx/model.ts'
import { tinyTextModel } from './text-models.ts'
import type { TinyModel } from './text-models.ts'

export interface Answer {
  readonly status: number
  readonly body: unknown
}

/** Sends bodies in one batch. */
export type Ask = (...bodies: readonly unknown[]) => Promise<readonly Answer[]>

/** Loads a folder and returns a function that sends a batch of bodies. */
export async function load(t: TestContext, folder: string): Promise<Ask> {
  const model = await loadOnnxModel({
    modelName: 'm',
    modelPath: folder,
    handler: '',
    batchSize: 1,
    gpu: undefined,
    options: { ...DEFAULT_WORKER_OPTIONS, warmUp: false },
  })
  t.after(() => model.close())
  return async (...bodies) => {
    const requests = bodies.map((body, index) => ({
      id: String(index),
      headers: [],
      parameters: [
        {
          name: 'body',
          contentType: 'application/json',
          value: Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body)),
        },
      ],
    }))
    const { predictions } = await model.predict(requests, performance.now())
    return predictions.map(({ status, body }) => ({
      status,
      body: JSON.parse(Buffer.from(body).toString()) as unknown,
    }))
  }
}

/** Writes a tiny model and loads it. */
export function tiny(t: TestContext, model: TinyModel): Promise<Ask> {
  return load(t, tinyTextModel(t, 'tiny', model))
}

/** The body of a response with status 200. */
export async function one(ask: Ask, body: unknown): Promise<unknown> {
  const [answer] = await ask(body)
  assert.equal(answer?.status, 200, JSON.stringify(answer?.body))
  return answer.body
}

export function softmax(values: readonly number[]): number[] {
  const powers = values.map((value) => Math.exp(value - Math.max(...values)))
  return powers.map((power) => power / powers.reduce((sum, other) => sum + other, 0))
}
