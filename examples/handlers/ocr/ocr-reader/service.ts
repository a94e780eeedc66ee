import { OnnxHandler, PredictionException, tensor } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest } from 'onnxd/handler'
import sharp from 'sharp'
import type { Inputs, Model, Outputs } from './model.d.ts'

type Request = HandlerRequest<Inputs, Outputs>

export interface ReadLine {
  readonly text: string
  readonly score: number
}

const HEIGHT = 48
/** Shorter lines are filled up with gray, as in the training. */
const LEAST_WIDTH = 320
const MOST_WIDTH = 4096

/** Reads one line of text in an image. */
export class LineReader extends OnnxHandler<Model> {
  override async preprocess({ data: { body } }: Request): Promise<Inputs> {
    if (!Buffer.isBuffer(body)) throw new PredictionException('Send an image.', 400)
    const { pixels, width } = await decode(body)
    const rowLength = Math.max(width, LEAST_WIDTH)
    const values = new Float32Array(3 * HEIGHT * rowLength)
    for (const [place, value] of pixels.entries()) {
      // The model wants blue first.
      const channel = 2 - (place % 3)
      const pixel = Math.floor(place / 3)
      const [x, y] = [pixel % width, Math.floor(pixel / width)]
      values[(channel * HEIGHT + y) * rowLength + x] = value / 127.5 - 1
    }
    return { x: tensor('float32', values, [1, 3, HEIGHT, rowLength]) }
  }

  /** Each step of the output has a class: nothing, or a character. A character may take several. */
  override postprocess(
    outputs: Outputs,
    _request: Request,
    { model }: HandlerContext<Model>,
  ): ReadLine {
    const { data, dims } = outputs['softmax_11.tmp_0']
    const [, steps, classes] = dims
    const characters: string[] = []
    let sum = 0
    let previous = 0
    for (let step = 0; step < steps; step++) {
      const row = data.subarray(step * classes, (step + 1) * classes)
      const best = indexOfHighest(row)
      if (best !== 0 && best !== previous) {
        // Class 0 is nothing; the class after the last label is the space.
        characters.push(model.labels[best - 1] ?? ' ')
        sum += row[best] ?? 0
      }
      previous = best
    }
    return {
      text: characters.join(''),
      score: characters.length === 0 ? 0 : sum / characters.length,
    }
  }
}

interface Decoded {
  readonly pixels: Buffer
  readonly width: number
}

/** Red, green and blue of each pixel of the image, whose height becomes that of the input. */
async function decode(file: Buffer): Promise<Decoded> {
  try {
    const size = (await sharp(file).metadata()).autoOrient
    const width = Math.min(MOST_WIDTH, Math.max(1, Math.ceil((size.width / size.height) * HEIGHT)))
    const pixels = await sharp(file)
      .autoOrient()
      .removeAlpha()
      .toColourspace('srgb')
      .resize({ width, height: HEIGHT, fit: 'fill', kernel: 'linear' })
      .raw()
      .toBuffer()
    return { pixels, width }
  } catch {
    throw new PredictionException('The body is not an image that can be decoded.', 400)
  }
}

function indexOfHighest(values: Float32Array): number {
  let best = 0
  for (let index = 1; index < values.length; index++) {
    if ((values[index] ?? 0) > (values[best] ?? 0)) best = index
  }
  return best
}
