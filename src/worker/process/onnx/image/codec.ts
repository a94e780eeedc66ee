/**
 * The image handler: decodes images and responds with classes. It passes other requests to the
 * default codec.
 */
import { ServerError } from '../../../../errors.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import type { ModelSettings } from '../../../../model-folder/settings.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import { LateCodec } from '../codecs/late-codec.ts'
import type { RequestHeaders } from '../headers.ts'
import { imagesCsv } from '../image-response/csv.ts'
import { chooseType } from '../image-response/response-type.ts'
import type { TaskType, TensorType } from '../image-response/response-type.ts'
import type { InstancesCodec } from '../kserve-v1/codec.ts'
import type { ProtocolCodec } from '../oip/codec.ts'
import { jsonPrediction, prediction, prettyJson } from '../prediction.ts'
import { TensorCodec } from '../predictions/codec.ts'
import { contentKind } from '../predictions/media-type.ts'
import type { ModelMetadata, TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { openTask } from '../vision/call.ts'
import type { VisionTask } from '../vision/task.ts'
import { planClasses, rankClasses } from './classes.ts'
import type { ClassPlan } from './classes.ts'
import { prepareDecoder } from './decode.ts'
import { planInputs } from './facts.ts'
import { SUPPORTED } from './parts.ts'
import { planImageInput } from './plan.ts'
import { ImagePreparer } from './prepare.ts'
import type { PreparedImages } from './prepare.ts'
import { ImageInstancesCodec, ImageProtocolCodec } from './protocol-codec.ts'
import { readBaseSettings } from './settings/base-file.ts'

export type { PreparedImages }

/** The codecs of an image model, by REST dialect. */
interface ImageCodecs {
  readonly plain: RequestCodec
  readonly v1: RequestCodec
  readonly v2: RequestCodec
  readonly grpc: RequestCodec
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
  const preparer = await createPreparer(metadata.inputs, files, options)
  const purpose = await purposeOf(metadata, files.settings, options)
  const v1 = new ImageInstancesCodec(preparer, tensors.v1)
  const v2 = new ImageProtocolCodec(preparer, metadata, options, tensors.v2)
  const plain = new ImageCodec(preparer, purpose, new TensorCodec(metadata, options, v2))
  const grpc = new LateCodec(async () => {
    const { ImageMessageCodec } = await import('./message-codec.ts')
    return new ImageMessageCodec(preparer, metadata, options)
  })
  return { plain, v1, v2, grpc }
}

/**
 * Creates what turns images into inputs.
 * @throws ServerError `InvalidModelException` when the inputs and the settings do not match.
 */
export async function createPreparer(
  specs: readonly TensorSpec[],
  files: ModelFiles,
  options: CodecLimits & { readonly root: string },
): Promise<ImagePreparer> {
  const own = files.settings.image ?? {}
  const inputs = planInputs(specs, own)
  const plan = planImageInput(inputs.image, own, await readBaseSettings(files, options.root))
  prepareDecoder()
  return new ImagePreparer(plan, inputs, options)
}

/** A task of the room `vision`, which is imported only for models that declare one. */
interface OpenTask {
  readonly task: VisionTask
  readonly openTask: typeof openTask
  readonly maxResponseBytes: number
}

/** What the routes of MMS respond with; `undefined` for the model's tensors. */
async function purposeOf(
  { task, outputs, labels }: ModelMetadata,
  settings: ModelSettings,
  { maxResponseBytes }: CodecLimits,
): Promise<ClassPlan | OpenTask | undefined> {
  if (task === undefined || task === 'classification') return planClasses(outputs, settings, labels)
  const { createTask } = await import('../vision/task.ts')
  const created = createTask(outputs, settings, labels)
  if (created === undefined) return undefined
  return { task: created, openTask: (await import('../vision/call.ts')).openTask, maxResponseBytes }
}

/** What a classifier responds with besides JSON. */
const CLASS_TYPES: readonly TaskType[] = ['text/csv']

/** A request for classes. A single image is answered with one list instead of a list of lists. */
class ClassCall implements Decoded {
  readonly dialect = undefined
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #classes: ClassPlan
  readonly #form: { readonly isSingle: boolean; readonly isCsv: boolean }

  constructor(
    id: string,
    inputs: readonly Tensor[],
    classes: ClassPlan,
    form: { readonly isSingle: boolean; readonly isCsv: boolean },
  ) {
    this.id = id
    this.inputs = inputs
    this.outputNames = [classes.output]
    this.#classes = classes
    this.#form = form
  }

  encode([scores]: readonly Tensor[]): WirePrediction {
    if (scores === undefined) throw new TypeError('no output to encode')
    const rows = rankClasses(scores, this.#classes)
    const isOne = this.#form.isSingle && rows.length === 1
    if (this.#form.isCsv) {
      const images = rows.map((row) => row.map((one) => [one.class, one.probability]))
      const csv = Buffer.from(imagesCsv(['label', 'score'], images, !isOne))
      return prediction(this.id, 200, 'text/csv', csv)
    }
    const answer = isOne ? rows[0] : rows
    return jsonPrediction(this.id, 200, prettyJson(answer))
  }
}

class ImageCodec implements RequestCodec {
  readonly #preparer: ImagePreparer
  readonly #purpose: ClassPlan | OpenTask | undefined
  readonly #tensors: TensorCodec

  constructor(
    preparer: ImagePreparer,
    purpose: ClassPlan | OpenTask | undefined,
    tensors: TensorCodec,
  ) {
    this.#preparer = preparer
    this.#purpose = purpose
    this.#tensors = tensors
  }

  async decode(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    const found = headers.jsonLength === undefined ? this.#preparer.find(request) : undefined
    if (found === undefined) return this.#decodeTensors(request, headers)
    const purpose = this.#purpose
    const type = purpose && chooseType(headers.accept, typesOf(purpose))
    const { inputs, placements } = await this.#preparer.prepare(found.files)
    if (purpose === undefined || !isTaskType(type))
      return this.#tensors.respond(request.id, inputs, headers)
    if (!('task' in purpose)) {
      const form = { isSingle: !found.isList, isCsv: type === 'text/csv' }
      return new ClassCall(request.id, inputs, purpose, form)
    }
    const images = { ...found, id: request.id, type, inputs, placements }
    return purpose.openTask(images, purpose.task, purpose.maxResponseBytes)
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

function typesOf(purpose: ClassPlan | OpenTask): readonly TaskType[] {
  return 'task' in purpose ? purpose.task.types : CLASS_TYPES
}

function isTaskType(type: TaskType | TensorType | undefined): type is TaskType {
  return type !== undefined && type !== 'application/octet-stream' && type !== 'application/x-npy'
}

/**
 * Whether all parts of the request are declared as JSON. Other requests may be images that were
 * sent in a wrong way.
 */
function isJson({ parameters }: WireRequest): boolean {
  return parameters.every(({ contentType }) => contentKind(contentType) === 'json')
}
