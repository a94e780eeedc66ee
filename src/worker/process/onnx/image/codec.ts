/** The image handler: pictures in, classes out. Other requests are the default codec's. */
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
import { picturesToTensor } from './tensor.ts'

/**
 * The codec of `"handler": "image"`: fits the pictures of a request into the model's only input and
 * answers with the best classes when the model is a classifier. `fallback` does everything else.
 * Import this file where it is needed only: the decoder takes 27 MB and a fifth of a second.
 * @throws ServerError `InvalidModelException` when model, settings and labels do not go together.
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
      `The image handler needs one input, the model has ${specListText(metadata.inputs) || 'none'}.`,
    )
  }
  const plan = planImageInput(input, settings.image ?? {})
  const classes = planClasses(metadata.outputs, settings, metadata.labels)
  prepareDecoder()
  return new ImageCodec(plan, classes, fallback)
}

/** A request for classes; a single picture is answered with one list instead of a list of lists. */
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
    const tensor = await picturesToTensor(pictures, this.#plan)
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
      const message = `${error.message} The model also takes images: ${SUPPORTED}.`
      throw new ServerError(type, message, { statusCode, cause: error })
    }
  }
}

/**
 * Whether the request is declared as JSON. Other requests may be images that were sent in a wrong
 * way.
 */
function isJson({ parameters }: WireRequest): boolean {
  return parameters.every(({ contentType }) => contentKind(contentType) === 'json')
}

/** The same request as a client would send it that had made the tensor itself. */
function asTensorRequest(id: string, { data }: NumericTensor): WireRequest {
  const body = { name: BODY, contentType: 'application/octet-stream', value: bytesOfData(data) }
  return { id, headers: [], parameters: [body] }
}
