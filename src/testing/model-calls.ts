/** Other models that the handler of a test calls. */
import type { CallOptions } from '../../types/handler.d.ts'
import type { OtherModel, TestModel } from '../../types/testing.d.ts'
import { PredictionException } from '../worker/process/custom/prediction-exception.ts'
import { valueOf } from '../worker/process/custom/server-calls.ts'
import type { ModelCalls } from '../worker/process/handler.ts'

const NOT_FOUND = 404

export class TestCalls implements ModelCalls {
  readonly #models: Readonly<Record<string, OtherModel>>

  constructor(models: Readonly<Record<string, OtherModel>>) {
    this.#models = models
  }

  async predict(
    _served: string,
    name: string,
    data: unknown,
    options: CallOptions = {},
  ): Promise<unknown> {
    const model = Object.hasOwn(this.#models, name) ? this.#models[name] : undefined
    if (model === undefined) {
      const text = `Model ${JSON.stringify(name)} is not in the option "models" of loadModel.`
      throw new PredictionException(text, NOT_FOUND)
    }
    return typeof model === 'function' ? model(data, options) : ask(model, data, options)
  }
}

async function ask(model: TestModel, data: unknown, options: CallOptions): Promise<unknown> {
  const { headers, contentType, protocol } = options
  const response = await model.predict(data, {
    ...(headers && { headers }),
    ...(contentType !== undefined && { contentType }),
    ...(protocol && { protocol }),
  })
  return valueOf({
    status: response.status,
    contentType: response.headers.get('content-type') ?? '',
    body: Buffer.from(await response.arrayBuffer()),
  })
}
