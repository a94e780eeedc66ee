import type { WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { CodecLimits } from '../codec.ts'
import { contentKind, looksLikeJson } from '../predictions/media-type.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { fillInputs } from './facts.ts'
import type { InputPlan } from './facts.ts'
import { imagesOfJson } from './json-images.ts'
import { picturesOf } from './parts.ts'
import type { Placement } from './placement.ts'
import type { ImagePlan } from './plan.ts'
import { imagesToTensor } from './tensor.ts'

/** The images of a request. */
export interface RequestImages {
  readonly files: readonly Buffer[]
  /** Whether the response is a list with one entry for each image, even for one image. */
  readonly isList: boolean
}

/** The tensors of a request with images. */
export interface PreparedImages {
  /** One tensor for each input of the model, in the model's order. */
  readonly inputs: readonly Tensor[]
  /** Where each image is in the tensor: leads from coordinates of the input to the image. */
  readonly placements: readonly Placement[]
}

/** Finds the images of requests, and makes them the inputs of one model. */
export class ImagePreparer {
  readonly #plan: ImagePlan
  readonly #inputs: InputPlan
  readonly #limits: CodecLimits

  constructor(plan: ImagePlan, inputs: InputPlan, limits: CodecLimits) {
    this.#plan = plan
    this.#inputs = inputs
    this.#limits = limits
  }

  /** Name of the input that takes the image. */
  get inputName(): string {
    return this.#inputs.image.name
  }

  /**
   * Returns the images of a request: its body, the files of its form, or base64 in its JSON.
   * Returns `undefined` if it has none.
   * @throws ServerError 4xx when something is declared as an image and is not one.
   */
  find(request: WireRequest): RequestImages | undefined {
    const files = picturesOf(request)
    if (files.length > 0) return { files, isList: files.length > 1 }
    const body = request.parameters.find(({ name }) => name === BODY)
    if (body === undefined) return undefined
    const kind = contentKind(body.contentType)
    const isJson = kind === 'json' || (kind !== 'numpy' && looksLikeJson(body.value))
    const found = isJson ? imagesOfJson(body.value, this.#limits, this.inputName) : undefined
    return found && { files: found.images, isList: found.isList }
  }

  /** @throws ServerError 4xx when an image cannot be decoded, or the images are too large. */
  async prepare(files: readonly Buffer[]): Promise<PreparedImages> {
    const { hasMask } = this.#inputs
    const { tensor, placements, frame } = await imagesToTensor(files, this.#plan, hasMask)
    return { inputs: fillInputs(this.#inputs, tensor, placements, frame), placements }
  }
}
