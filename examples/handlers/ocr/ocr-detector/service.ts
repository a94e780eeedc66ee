import { OnnxHandler, PredictionException } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest, ImagePlace } from 'onnxd/handler'
import { findLines } from './lines.ts'
import type { Box } from './lines.ts'
import type { Inputs, Model, Outputs } from './model.d.ts'

type Request = HandlerRequest<Inputs, Outputs>

export interface FoundLine {
  /** In pixels of the image. */
  readonly box: Box
  readonly score: number
}

/** Finds the lines of text in an image. */
export class TextDetector extends OnnxHandler<Model> {
  /** Where the image of each request lies in the input of the model. */
  readonly #places = new WeakMap<Request, ImagePlace>()

  override async preprocess(request: Request, { model }: HandlerContext<Model>): Promise<Inputs> {
    const { inputs, places } = await model.placeImages(imageOf(request))
    for (const place of places) this.#places.set(request, place)
    return inputs
  }

  override postprocess(outputs: Outputs, request: Request): FoundLine[] {
    const { data: values, dims } = outputs['sigmoid_0.tmp_0']
    const [, , height, width] = dims
    const place = this.#places.get(request)
    if (place === undefined) throw new TypeError('an image that was not prepared')
    return findLines({ values, width, height }).map(({ box, score }) => ({
      box: placed(box, place),
      score,
    }))
  }
}

/** From pixels of the map, which is as large as the input, to pixels of the image. */
function placed([left, top, right, bottom]: Box, place: ImagePlace): Box {
  const { scale, offset, width, height } = place
  const x = (value: number): number => Math.round(value * scale[0] + offset[0])
  const y = (value: number): number => Math.round(value * scale[1] + offset[1])
  return [x(left), y(top), Math.min(width, x(right)), Math.min(height, y(bottom))]
}

function imageOf({ data }: Request): Buffer {
  const { body, image = body } = data
  if (Buffer.isBuffer(image)) return image
  throw new PredictionException('Send an image.', 400)
}
