/**
 * The image handler: decodes images and responds with classes. It passes other requests to the
 * default codec.
 */
import { ServerError } from '../../../../errors.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import { prefersOctets } from '../headers.ts'
import type { RequestHeaders } from '../headers.ts'
import type { InstancesCodec } from '../kserve-v1/codec.ts'
import type { ProtocolCodec } from '../oip/codec.ts'
import { jsonPrediction, prettyJson } from '../prediction.ts'
import { TensorCodec } from '../predictions/codec.ts'
import { contentKind } from '../predictions/media-type.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { planClasses, rankClasses } from './classes.ts'
import type { ClassPlan } from './classes.ts'
import { prepareDecoder } from './decode.ts'
import { planInputs } from './facts.ts'
import { SUPPORTED } from './parts.ts'
import { planImageInput } from './plan.ts'
import { ImagePreparer } from './prepare.ts'
import { ImageInstancesCodec, ImageProtocolCodec } from './protocol-codec.ts'
import { readBaseSettings } from './settings/base-file.ts'

/** The codecs of an image model, by REST dialect. */
interface ImageCodecs {
  readonly plain: RequestCodec
  readonly v1: RequestCodec
  readonly v2: RequestCodec
}

/**
 * Creates the codecs of `"handler": "image"`. They convert the images of a request into the model's
 * inputs. The routes of MMS respond with the best classes when the model is a classifier. `tensors`
 * decodes everything else. Import this file only where it is needed: the decoder takes 27 MB and
 * 0.2 s.
 * @throws ServerError `InvalidModelException` when model, settings and labels do not match.
 */
export async function createImageCodecs(
  metadata: ModelMetadata,
  files: ModelFiles,
  options: CodecLimits & { readonly root: string },
  tensors: { readonly v1: InstancesCodec; readonly v2: ProtocolCodec },
): Promise<ImageCodecs> {
  const { settings } = files
  const own = settings.image ?? {}
  const inputs = planInputs(metadata.inputs, own)
  const plan = planImageInput(inputs.image, own, await readBaseSettings(files, options.root))
  const classes = planClasses(metadata.outputs, settings, metadata.labels)
  prepareDecoder()
  const preparer = new ImagePreparer(plan, inputs, options)
  const v1 = new ImageInstancesCodec(preparer, tensors.v1)
  const v2 = new ImageProtocolCodec(preparer, metadata, options, tensors.v2)
  const plain = new ImageCodec(preparer, classes, new TensorCodec(metadata, options, v2))
  return { plain, v1, v2 }
}

/** A request for classes. A single image is answered with one list instead of a list of lists. */
class ClassCall implements Decoded {
  readonly dialect = undefined
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #classes: ClassPlan
  readonly #isSingle: boolean

  constructor(id: string, inputs: readonly Tensor[], classes: ClassPlan, isSingle: boolean) {
    this.id = id
    this.inputs = inputs
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
  readonly #preparer: ImagePreparer
  readonly #classes: ClassPlan | undefined
  readonly #tensors: TensorCodec

  constructor(preparer: ImagePreparer, classes: ClassPlan | undefined, tensors: TensorCodec) {
    this.#preparer = preparer
    this.#classes = classes
    this.#tensors = tensors
  }

  async decode(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    const found = headers.jsonLength === undefined ? this.#preparer.find(request) : undefined
    if (found === undefined) return this.#decodeTensors(request, headers)
    const { inputs } = await this.#preparer.prepare(found.files)
    return this.#classes === undefined || prefersOctets(headers.accept)
      ? this.#tensors.respond(request.id, inputs, headers)
      : new ClassCall(request.id, inputs, this.#classes, !found.isList)
  }

  async #decodeTensors(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    try {
      return await this.#tensors.decode(request, headers)
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
