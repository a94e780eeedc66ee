/**
 * The image handler: decodes images and responds with classes. It passes other requests to the
 * default codec.
 */
import { ServerError } from '../../../../errors.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { Decoded, RequestCodec } from '../codec.ts'
import { prefersOctets } from '../headers.ts'
import type { RequestHeaders } from '../headers.ts'
import { jsonPrediction, prettyJson } from '../prediction.ts'
import { contentKind } from '../predictions/media-type.ts'
import { specListText } from '../tensors/error-text.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import { bytesOfData } from '../tensors/tensor.ts'
import type { NumericTensor, Tensor } from '../tensors/tensor.ts'
import { planClasses, rankClasses } from './classes.ts'
import type { ClassPlan } from './classes.ts'
import { prepareDecoder } from './decode.ts'
import { SUPPORTED, picturesOf } from './parts.ts'
import { planImageInput } from './plan.ts'
import type { ImagePlan } from './plan.ts'
import { imagesToTensor } from './tensor.ts'

/**
 * Creates the codec of `"handler": "image"`. It converts the images of a request into the model's
 * only input, and responds with the best classes when the model is a classifier. `fallback` handles
 * everything else. Import this file only where it is needed: the decoder takes 27 MB and 0.2 s.
 * @throws ServerError `InvalidModelException` when model, settings and labels do not match.
 */
export async function createImageCodec(
  metadata: ModelMetadata,
  files: ModelFiles,
  fallback: RequestCodec,
): Promise<RequestCodec> {
  const { settings } = files
  const [input, ...others] = metadata.inputs
  if (input === undefined || others.length > 0) {
    throw new ServerError(
      'InvalidModelException',
      `The image handler needs a model with one input; the model has ${specListText(metadata.inputs) || 'none'}.`,
    )
  }
  const plan = planImageInput(input, settings.image ?? {})
  const classes = planClasses(metadata.outputs, settings, metadata.labels)
  prepareDecoder()
  return new ImageCodec(plan, classes, fallback)
}

/** A request for classes. A single image is answered with one list instead of a list of lists. */
class ClassCall implements Decoded {
  readonly dialect = undefined
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #classes: ClassPlan
  readonly #isSingle: boolean

  constructor(id: string, input: Tensor, classes: ClassPlan, isSingle: boolean) {
    this.id = id
    this.inputs = [input]
    this.outputNames = [classes.output]
    this.#classes = classes
    this.#isSingle = isSingle
  }

  encode([scores]: readonly Tensor[]): WirePrediction {
    if (scores === undefined) throw new TypeError('no output to encode')
    const rows = rankClasses(scores, this.#classes)
    const answer = this.#isSingle && rows.length === 1 ? rows[0] : rows
    return jsonPrediction(this.id, 200, prettyJson(answer))
  }
}

class ImageCodec implements RequestCodec {
  readonly #plan: ImagePlan
  readonly #classes: ClassPlan | undefined
  readonly #fallback: RequestCodec

  constructor(plan: ImagePlan, classes: ClassPlan | undefined, fallback: RequestCodec) {
    this.#plan = plan
    this.#classes = classes
    this.#fallback = fallback
  }

  async decode(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    const pictures = picturesOf(request)
    if (pictures.length === 0) return this.#decodeTensors(request, headers)
    const { tensor } = await imagesToTensor(pictures, this.#plan)
    if (this.#classes === undefined || prefersOctets(headers.accept)) {
      const shapeHeader = { ...headers, tensorShape: tensor.shape.join(',') }
      return this.#fallback.decode(asTensorRequest(request.id, tensor), shapeHeader)
    }
    return new ClassCall(request.id, tensor, this.#classes, pictures.length === 1)
  }

  async #decodeTensors(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    try {
      return await this.#fallback.decode(request, headers)
    } catch (error) {
      if (!(error instanceof ServerError) || isJson(request)) throw error
      const { type, statusCode } = error
      const message = `${error.message} The model also accepts images: ${SUPPORTED}.`
      throw new ServerError(type, message, { statusCode, cause: error })
    }
  }
}

/**
 * Whether all parts of the request are declared as JSON. Other requests may be images that were
 * sent in a wrong way.
 */
function isJson({ parameters }: WireRequest): boolean {
  return parameters.every(({ contentType }) => contentKind(contentType) === 'json')
}

/** Builds the request that a client would send if it had created the tensor itself. */
function asTensorRequest(id: string, { data }: NumericTensor): WireRequest {
  const body = { name: BODY, contentType: 'application/octet-stream', value: bytesOfData(data) }
  return { id, headers: [], parameters: [body] }
}
