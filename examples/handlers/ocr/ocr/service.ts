import { PredictionException } from 'onnxd/handler'
import type { HandlerContext, ModelCall, OnnxModel, RequestData } from 'onnxd/handler'
import sharp from 'sharp'

/** What `ocr-detector` finds. */
interface FoundLine {
  readonly box: readonly [left: number, top: number, right: number, bottom: number]
  readonly score: number
}

/** What `ocr-reader` reads. */
interface ReadLine {
  readonly text: string
  readonly score: number
}

/** The models that this handler calls. */
interface Calls {
  readonly 'ocr-detector': ModelCall<Buffer, readonly FoundLine[]>
  readonly 'ocr-reader': ModelCall<Buffer, ReadLine>
}
type Context = HandlerContext<OnnxModel, Calls>

/** Lines below it are not text. */
const LEAST_SCORE = 0.5
/** A page has fewer. Each line is a request to `ocr-reader`, which serves nobody else meanwhile. */
const MOST_LINES = 200

/** Reads the text of an image: one model finds the lines, another one reads each of them. */
export async function handle(
  data: readonly RequestData[] | undefined,
  context: Context,
): Promise<unknown> {
  if (data === undefined) return undefined
  return Promise.all(data.map((request, index) => read(request, index, context)))
}

async function read(
  { body, image = body }: RequestData,
  index: number,
  context: Context,
): Promise<unknown> {
  if (!Buffer.isBuffer(image)) throw new PredictionException('Send an image.', 400)
  const { server } = context
  const found = await server.predict('ocr-detector', image, { index })
  if (found.length > MOST_LINES) {
    const text = `The image has ${found.length} lines of text. Send an image with at most ${MOST_LINES}.`
    throw new PredictionException(text, 413)
  }
  const page = await sharp(image).autoOrient().toBuffer()
  const lines = await Promise.all(
    found.map(async ({ box }) => {
      const [left, top, right, bottom] = box
      const cut = sharp(page).extract({ left, top, width: right - left, height: bottom - top })
      const line = await server.predict('ocr-reader', await cut.png().toBuffer(), { index })
      return { text: line.text, score: Number(line.score.toFixed(3)), box }
    }),
  )
  const readable = lines.filter(({ score }) => score >= LEAST_SCORE)
  const wanted = context.getRequestHeader(index, 'Accept')
  if (wanted === 'text/plain') {
    context.setResponseContentType(index, 'text/plain; charset=utf-8')
    return readable.map(({ text }) => `${text}\n`).join('')
  }
  context.setResponseContentType(index, 'application/json')
  return { lines: readable }
}
