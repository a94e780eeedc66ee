import { OnnxHandler, PredictionException } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest, ImagePlace } from 'onnxd/handler'
import { drawBoxes } from './draw-boxes.ts'
import { findFaces } from './find-faces.ts'
import type { Box } from './find-faces.ts'
import type { Inputs, Model, Outputs } from './model.d.ts'

type Request = HandlerRequest<Inputs, Outputs>

/** Finds faces. The response is JSON, or the image with a frame around each face. */
export class Faces extends OnnxHandler<Model> {
  /** Where the image of each request lies in the input of the model. */
  readonly #places = new WeakMap<Request, ImagePlace>()

  override async preprocess(request: Request, { model }: HandlerContext<Model>): Promise<Inputs> {
    const { inputs, places } = await model.placeImages(imageOf(request))
    for (const place of places) this.#places.set(request, place)
    return inputs
  }

  override async postprocess(
    outputs: Outputs,
    request: Request,
    context: HandlerContext<Model>,
  ): Promise<unknown> {
    const place = this.#places.get(request)
    if (place === undefined) throw new TypeError('an image that was not prepared')
    const faces = findFaces(outputs['537'], outputs['538'], outputs['539']).map(
      ({ box, score }) => ({
        box: placed(box, place),
        score: rounded(score, 3),
      }),
    )
    if (!/image\/(?:jpeg|\*)/.test(request.headers['accept'] ?? '')) return { faces }
    context.setResponseContentType(0, 'image/jpeg')
    return drawBoxes(
      imageOf(request),
      faces.map(({ box }) => box),
    )
  }
}

function imageOf({ data }: Request): Buffer {
  const { body, image = body } = data
  if (Buffer.isBuffer(image)) return image
  throw new PredictionException('Send an image.', 400)
}

/** From pixels of the input to pixels of the image. */
function placed([left, top, right, bottom]: Box, { scale, offset }: ImagePlace): Box {
  const x = (value: number): number => rounded(value * scale[0] + offset[0], 1)
  const y = (value: number): number => rounded(value * scale[1] + offset[1], 1)
  return [x(left), y(top), x(right), y(bottom)]
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
