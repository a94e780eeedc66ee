import { OnnxHandler, PredictionException } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest } from 'onnxd/handler'
import sharp from 'sharp'
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
  override preprocess(request: Request, { model }: HandlerContext<Model>): Promise<Inputs> {
    return model.prepareImages(imageOf(request))
  }

  override async postprocess(outputs: Outputs, request: Request): Promise<FoundLine[]> {
    const { data: values, dims } = outputs['sigmoid_0.tmp_0']
    const [, , height, width] = dims
    const { autoOrient: size } = await sharp(imageOf(request)).metadata()
    // The image lies in the top left corner of the input; the rest is empty.
    const scale = Math.max(size.width / width, size.height / height)
    return findLines({ values, width, height }).map(
      ({ box: [left, top, right, bottom], score }) => ({
        box: [
          Math.round(left * scale),
          Math.round(top * scale),
          Math.min(size.width, Math.round(right * scale)),
          Math.min(size.height, Math.round(bottom * scale)),
        ],
        score,
      }),
    )
  }
}

function imageOf({ data }: Request): Buffer {
  const { body, image = body } = data
  if (Buffer.isBuffer(image)) return image
  throw new PredictionException('Send an image.', 400)
}
