import { OnnxHandler, PredictionException, tensor } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest } from 'onnxd/handler'
import type { Inputs, Label, Model, Outputs } from './model.d.ts'

const FIELDS = ['sepalLength', 'sepalWidth', 'petalLength', 'petalWidth']

interface Answer {
  readonly species: Label | undefined
  readonly probability: number | undefined
}

/** Named numbers in, a name out. The requests of a batch share a run of the model. */
export class Flowers extends OnnxHandler<Model> {
  /** A wrong request gets its own error; the others of its batch go on. */
  override preprocess({ body }: HandlerRequest<Inputs, Outputs>): Inputs {
    const flower = body as Readonly<Record<string, unknown>> | undefined
    const row = FIELDS.map((field) => flower?.[field])
    if (!row.every((value): value is number => Number.isFinite(value))) {
      throw new PredictionException(`Send JSON with the numbers ${FIELDS.join(', ')}.`, 400)
    }
    return { features: tensor('float32', Float32Array.from(row), [1, 4]) }
  }

  override postprocess(
    { label, probabilities }: Outputs,
    _request: HandlerRequest<Inputs, Outputs>,
    { model }: HandlerContext<Model>,
  ): Answer {
    const index = Number(label.data[0])
    return { species: model.labels[index], probability: probabilities.data[index] }
  }
}
