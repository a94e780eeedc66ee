/** Responses to images for the tasks of `task.ts`. */
import { ServerError } from '../../../../errors.ts'
import type { WirePrediction } from '../../../wire/messages.ts'
import type { Decoded } from '../codec.ts'
import { imagesCsv } from '../image-response/csv.ts'
import type { TaskType } from '../image-response/response-type.ts'
import type { Placement } from '../image/placement.ts'
import { responseTooLarge } from '../json/writer.ts'
import { jsonPrediction, prediction } from '../prediction.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { DrawnType } from './drawing/photo.ts'
import { pixelMapOf } from './geometry.ts'
import { lines } from './task.ts'
import type { SentImage, VisionTask } from './task.ts'

/** A request with images. */
export interface ImageRequest {
  readonly id: string
  readonly type: TaskType
  readonly files: readonly Buffer[]
  /** Whether the response is a list with one entry for each image, even for one image. */
  readonly isList: boolean
  /** The images as inputs of the model, and where they lie in them. */
  readonly inputs: readonly Tensor[]
  readonly placements: readonly Placement[]
}

/**
 * Prepares the response to images.
 * @param maxBytes Maximum size of the response.
 * @throws ServerError 406 when a drawn image is wanted for several images.
 */
export function openTask(
  { id, type, files, isList, inputs, placements }: ImageRequest,
  task: VisionTask,
  maxBytes: number,
): Decoded {
  if (isDrawn(type) && files.length > 1) {
    throw new ServerError(
      'InvalidInputException',
      `The response can be an image for one image only, but the request has ${files.length}; accept application/json.`,
      { statusCode: 406 },
    )
  }
  const images = placements.map((placement, index) => ({
    bytes: files[index] ?? Buffer.alloc(0),
    map: pixelMapOf(placement),
  }))
  return new TaskCall(id, inputs, task, { images, isList, type, maxBytes })
}

interface Wanted {
  readonly images: readonly SentImage[]
  readonly isList: boolean
  readonly type: TaskType
  readonly maxBytes: number
}

class TaskCall implements Decoded {
  readonly dialect = undefined
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #task: VisionTask
  readonly #wanted: Wanted

  constructor(id: string, inputs: readonly Tensor[], task: VisionTask, wanted: Wanted) {
    this.id = id
    this.inputs = inputs
    this.outputNames = task.outputNames
    this.#task = task
    this.#wanted = wanted
  }

  encode(outputs: readonly Tensor[]): WirePrediction | Promise<WirePrediction> {
    const { images, isList, type } = this.#wanted
    const [first] = images
    if (isDrawn(type) && first !== undefined) return this.#drawn(outputs, first, type)
    if (type === 'text/csv') {
      const { columns, rows } = this.#task.toTable(outputs, images)
      const csv = Buffer.from(imagesCsv(columns, rows, isList))
      return prediction(this.id, 200, type, this.#checked(csv))
    }
    const results = this.#task.toJson(outputs, images)
    // A single image gets its result instead of a list with one result.
    const text = isList ? lines(results) : (results[0] ?? '')
    return jsonPrediction(this.id, 200, this.#checked(Buffer.from(`${text}\n`)))
  }

  async #drawn(
    outputs: readonly Tensor[],
    image: SentImage,
    type: DrawnType,
  ): Promise<WirePrediction> {
    const body = await this.#task.draw?.(outputs, image, type)
    if (body === undefined) throw new TypeError('the task has nothing to draw')
    return prediction(this.id, 200, type, this.#checked(body))
  }

  #checked(body: Buffer): Buffer {
    if (body.length > this.#wanted.maxBytes) throw responseTooLarge(this.#wanted.maxBytes)
    return body
  }
}

function isDrawn(type: TaskType): type is DrawnType {
  return type === 'image/png' || type === 'image/jpeg'
}
