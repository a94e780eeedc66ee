/** The image handler: pictures in, classes out. Whatever is not a picture is the default codec's, as are its answers. */
import { ServerError } from '../../../errors.ts'
import type { ModelFiles } from '../../../model-files.ts'
import type { WireHeader, WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { Decoded, RequestCodec } from './codec.ts'
import { specListText } from './error-text.ts'
import { prefersOctets, readHeaders } from './headers.ts'
import { planClasses, rankClasses } from './image-classes.ts'
import type { ClassPlan } from './image-classes.ts'
import { readLabels } from './image-labels.ts'
import { picturesOf } from './image-parts.ts'
import { planImageInput } from './image-plan.ts'
import type { ModelMetadata } from './metadata.ts'
import { SHAPE_HEADER } from './octets.ts'
import { jsonPrediction, prettyJson } from './prediction.ts'
import { bytesOfData } from './tensor.ts'
import type { NumericTensor, Tensor } from './tensor.ts'

type ToTensor = (pictures: readonly Buffer[]) => Promise<NumericTensor>

/**
 * The codec of `"handler": "image"`: fits the pictures of a request into the model's only input and answers with
 * the best classes when the model is a classifier. `fallback` takes all other requests.
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
      `The image handler needs a model with one input; this has ${specListText(metadata.inputs) || 'none'}.`,
    )
  }
  const plan = planImageInput(input, settings.image ?? {})
  const labels = metadata.labels ?? (await readLabels(files))
  const classes = planClasses(metadata.outputs, settings, labels)
  // The decoder takes 27 MB and a fifth of a second: workers that never see a picture must not load it.
  const { prepareDecoder } = await import('./image-pixels.ts')
  const { picturesToTensor } = await import('./image-tensor.ts')
  prepareDecoder()
  const toTensor: ToTensor = (pictures) => picturesToTensor(pictures, plan)
  return new ImageCodec(toTensor, classes, fallback)
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
  readonly #toTensor: ToTensor
  readonly #classes: ClassPlan | undefined
  readonly #fallback: RequestCodec

  constructor(toTensor: ToTensor, classes: ClassPlan | undefined, fallback: RequestCodec) {
    this.#toTensor = toTensor
    this.#classes = classes
    this.#fallback = fallback
  }

  async decode(request: WireRequest): Promise<Decoded> {
    const pictures = picturesOf(request)
    if (pictures.length === 0) return this.#fallback.decode(request)
    const tensor = await this.#toTensor(pictures)
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

/** The same request with the tensor instead of the pictures, as a client that had resized them itself would send it. */
function asTensorRequest(
  { id, headers }: WireRequest,
  { shape, data }: NumericTensor,
): WireRequest {
  const accepted = headers.filter(([name]) => name.toLowerCase() === 'accept')
  const shapeHeader: WireHeader = [SHAPE_HEADER, shape.join(',')]
  const body = { name: 'body', contentType: 'application/octet-stream', value: bytesOfData(data) }
  return { id, headers: [...accepted, shapeHeader], parameters: [body] }
}
