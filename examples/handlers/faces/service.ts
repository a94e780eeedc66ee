import { OnnxHandler, PredictionException } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest } from 'onnxd/handler'
import sharp from 'sharp'
import { drawBoxes } from './draw-boxes.ts'
import { findFaces } from './find-faces.ts'
import type { Box } from './find-faces.ts'
import type { Inputs, Model, Outputs } from './model.d.ts'

type Request = HandlerRequest<Inputs, Outputs>

/** Finds faces. The response is JSON, or the image with a frame around each face. */
export class Faces extends OnnxHandler<Model> {
  override preprocess(request: Request, { model }: HandlerContext<Model>): Promise<Inputs> {
    return model.prepareImages(imageOf(request))
  }

  override async postprocess(
    outputs: Outputs,
    request: Request,
    context: HandlerContext<Model>,
  ): Promise<unknown> {
    const image = imageOf(request)
    const { autoOrient: size } = await sharp(image).metadata()
    // The image lies in the top left corner of the input, which is a square.
    const scale = Math.max(size.width, size.height) / 640
    const faces = findFaces(outputs['537'], outputs['538'], outputs['539']).map(
      ({ box, score }) => ({
        box: scaled(box, scale),
        score: rounded(score, 3),
      }),
    )
    if (!/image\/(?:jpeg|\*)/.test(request.headers['accept'] ?? '')) return { faces }
    context.setResponseContentType(0, 'image/jpeg')
    return drawBoxes(
      image,
      faces.map(({ box }) => box),
    )
  }
}

function imageOf({ data }: Request): Buffer {
  const { body, image = body } = data
  if (Buffer.isBuffer(image)) return image
  throw new PredictionException('Send an image.', 400)
}

function scaled([left, top, right, bottom]: Box, scale: number): Box {
  const edge = (value: number): number => rounded(value * scale, 1)
  return [edge(left), edge(top), edge(right), edge(bottom)]
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
