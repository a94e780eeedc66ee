/** Inference requests through one real worker process. */
import type { TestContext } from 'node:test'
import { DIALECT_HEADER } from '../../src/contract/internal-headers.ts'
import type { WireHeader } from '../../src/worker/wire/messages.ts'
import { answerOf } from './infer.ts'
import type { Send } from './infer.ts'
import { modelPath as ownModelPath } from './onnx-model.ts'
import { startWorker, wireRequest } from './worker-client.ts'
import type { WorkerClient } from './worker-client.ts'

/**
 * Starts a worker. Each model of `../shared` is loaded on its own connection at its first request.
 */
export async function workerSend(t: TestContext): Promise<Send> {
  const worker = await startWorker(t)
  const clients = new Map<string, WorkerClient>()
  const connect = async (model: string): Promise<WorkerClient> => {
    const client = await worker.connect()
    const modelPath = ownModelPath(model, '1')
    const { code, message } = await client.load({ modelName: model, modelPath, handler: '' })
    if (code !== 200) throw new Error(message)
    clients.set(model, client)
    return client
  }
  return async (model, { route, contentType, headers, body }) => {
    const client = clients.get(model) ?? (await connect(model))
    const dialect: WireHeader[] = route === 'predictions' ? [] : [[DIALECT_HEADER, route]]
    const request = wireRequest([['body', body, contentType]], [...dialect, ...headers])
    const { predictions } = await client.predict([request])
    const [prediction] = predictions
    if (prediction === undefined) throw new Error('no prediction')
    return answerOf(prediction)
  }
}
