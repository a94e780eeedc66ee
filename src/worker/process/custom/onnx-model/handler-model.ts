/** `context.model`: the ONNX model of a handler's folder, with onnxd's own session. */
import type {
  ImagePlace,
  OnnxModel,
  PlacedImages,
  TensorInfo,
  Tensors,
  Text,
  TokenizeOptions,
} from '../../../../../types/handler.d.ts'
import { ServerError } from '../../../../errors.ts'
import type { WorkerOptions } from '../../handler.ts'
import { sourceX, sourceY } from '../../onnx/image/placement.ts'
import type { Placement } from '../../onnx/image/placement.ts'
import { endWithChangedWeights } from '../../onnx/model.ts'
import type { OpenModel } from '../../onnx/open-model.ts'
import { looksLikeJson, contentKind } from '../../onnx/predictions/media-type.ts'
import type { TableFormat, TableReader } from '../../onnx/tables/codec.ts'
import type { Tensor } from '../../onnx/tensors/tensor.ts'
import { BuiltInSteps, bufferOf } from './built-in-steps.ts'
import { giveTensors, infoOf, takeNames, takeTensors } from './handler-tensors.ts'

/** The model as handlers see it. */
export class HandlerModel implements OnnxModel {
  readonly inputs: readonly TensorInfo[]
  readonly outputs: readonly TensorInfo[]
  readonly labels: readonly string[]
  readonly #open: OpenModel
  readonly #options: WorkerOptions
  readonly #steps: BuiltInSteps
  #tables: Promise<TableReader> | undefined

  constructor(open: OpenModel, options: WorkerOptions) {
    const { metadata } = open
    this.#open = open
    this.#options = options
    this.#steps = new BuiltInSteps(open, options)
    this.inputs = metadata.inputs.map(infoOf)
    this.outputs = metadata.outputs.map(infoOf)
    const ofOutput = metadata.outputs.find(({ labels }) => labels !== undefined)?.labels
    this.labels = metadata.labels ?? metadata.text?.labels ?? ofOutput ?? []
  }

  /**
   * Runs the model and blocks the process meanwhile, as the built-in handler does.
   * @throws TypeError for tensors that the model does not take; ServerError of the run.
   */
  async run(inputs: Tensors, outputs?: readonly string[]): Promise<Record<string, never>> {
    const { session } = this.#open
    const tensors = takeTensors('Input', inputs, session.inputs)
    const names = takeNames(outputs, session.outputs)
    const results = session.run(tensors, names)
    if (!session.isIntact) endWithChangedWeights()
    return giveTensors(names, results) as Record<string, never>
  }

  /** @throws ServerError 400, or 413 for a text that is too long. */
  async tokenize(
    texts: Text | readonly Text[],
    { truncate }: TokenizeOptions = {},
  ): Promise<Tensors> {
    return this.#given((await this.#steps.texts).encode(texts, truncate))
  }

  /** @throws ServerError 4xx for an image that cannot be decoded. */
  async prepareImages(images: Uint8Array | readonly Uint8Array[]): Promise<Tensors> {
    return this.#given((await this.#steps.prepareImages(images)).inputs)
  }

  /** @throws ServerError 4xx for an image that cannot be decoded. */
  async placeImages(images: Uint8Array | readonly Uint8Array[]): Promise<PlacedImages> {
    const { inputs, placements } = await this.#steps.prepareImages(images)
    return { inputs: this.#given(inputs), places: placements.map(placeOf) }
  }

  /** @throws ServerError 4xx for a table that does not fit the inputs. */
  async readTable(body: Uint8Array | string, contentType = ''): Promise<Tensors> {
    this.#tables ??= import('../../onnx/tables/codec.ts').then(
      (tables) => new tables.TableReader(this.#open.metadata, this.#options),
    )
    const value = typeof body === 'string' ? Buffer.from(body) : bufferOf(body)
    const format = tableFormat(contentType, value)
    const parameter = { name: 'body', contentType, value }
    const headers = [['content-type', contentType]] as const
    return this.#given((await (await this.#tables).read(format, parameter, headers)).inputs)
  }

  #given(tensors: readonly Tensor[]): Tensors {
    return giveTensors(
      this.inputs.map(({ name }) => name),
      tensors,
    )
  }
}

function placeOf(placement: Placement): ImagePlace {
  const { sourceWidth: width, sourceHeight: height, resizedWidth, resizedHeight } = placement
  return {
    width,
    height,
    scale: [width / resizedWidth, height / resizedHeight],
    offset: [sourceX(0, placement), sourceY(0, placement)],
  }
}

/** CSV or JSON by the first character if the content type does not say it. */
function tableFormat(contentType: string, value: Buffer): TableFormat {
  const kind = contentKind(contentType)
  switch (kind) {
    case 'csv':
    case 'lines':
    case 'npz':
    case 'parquet':
    case 'json':
      return kind
    case 'none':
    case 'text':
      return looksLikeJson(value) ? 'json' : 'csv'
    default: {
      const problem = `${JSON.stringify(contentType)} is no table.`
      throw new ServerError('UnsupportedMediaTypeException', problem)
    }
  }
}
