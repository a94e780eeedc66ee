/** The image handler: pictures in, classes out. Other requests are the default codec's. */
import { ServerError } from '../../../errors.ts'
import type { ModelFiles } from '../../../model-files.ts'
import type { WireHeader, WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { Decoded, RequestCodec } from './codec.ts'
import { specListText } from './error-text.ts'
import { prefersOctets, readHeaders } from './headers.ts'
import { planClasses, rankClasses } from './image-classes.ts'
import type { ClassPlan } from './image-classes.ts'
import { picturesOf } from './image-parts.ts'
import { prepareDecoder } from './image-pixels.ts'
import { planImageInput } from './image-plan.ts'
import type { ImagePlan } from './image-plan.ts'
import { picturesToTensor } from './image-tensor.ts'
import type { ModelMetadata } from './metadata.ts'
import { SHAPE_HEADER } from './octets.ts'
import { jsonPrediction, prettyJson } from './prediction.ts'
import { bytesOfData } from './tensor.ts'
import type { NumericTensor, Tensor } from './tensor.ts'

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

/** A request for classes; `isSingle` answers with one list instead of a list of lists. */
class ClassRequest implements Decoded {
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly isSingle: boolean

  constructor(id: string, input: Tensor, output: string, isSingle: boolean) {
    this.id = id
    this.inputs = [input]
    this.outputNames = [output]
    this.isSingle = isSingle
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

  async decode(request: WireRequest): Promise<Decoded> {
    const pictures = picturesOf(request)
    if (pictures.length === 0) return this.#fallback.decode(request)
    const tensor = await picturesToTensor(pictures, this.#plan)
    if (this.#classes === undefined || prefersOctets(readHeaders(request.headers).accept)) {
      return this.#fallback.decode(asTensorRequest(request, tensor))
    }
    return new ClassRequest(request.id, tensor, this.#classes.output, pictures.length === 1)
  }

  encode(outputs: readonly Tensor[], decoded: Decoded): WirePrediction {
    const [scores] = outputs
    if (!(decoded instanceof ClassRequest) || this.#classes === undefined || scores === undefined) {
      return this.#fallback.encode(outputs, decoded)
    }
    const rows = rankClasses(scores, this.#classes)
    const answer = decoded.isSingle && rows.length === 1 ? rows[0] : rows
    return jsonPrediction(decoded.id, 200, prettyJson(answer))
  }
}

/** The same request as a client would send it that had made the tensor itself. */
function asTensorRequest(
  { id, headers }: WireRequest,
  { shape, data }: NumericTensor,
): WireRequest {
  const accepted = headers.filter(([name]) => name.toLowerCase() === 'accept')
  const shapeHeader: WireHeader = [SHAPE_HEADER, shape.join(',')]
  const body = { name: 'body', contentType: 'application/octet-stream', value: bytesOfData(data) }
  return { id, headers: [...accepted, shapeHeader], parameters: [body] }
}
