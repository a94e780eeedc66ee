/** Requests to a pipeline whose inputs and outputs have types, in all dialects of tensors. */
import { ServerError } from '../../../errors.ts'
import { fileFormatOf } from '../../../formats/file-format.ts'
import type { WireRequest } from '../../wire/messages.ts'
import type { WorkerOptions } from '../handler.ts'
import { BODY } from '../onnx/codec.ts'
import type { Decoded, RequestCodec } from '../onnx/codec.ts'
import { LateCodec } from '../onnx/codecs/late-codec.ts'
import type { RequestHeaders } from '../onnx/headers.ts'
import { InstancesCodec } from '../onnx/kserve-v1/codec.ts'
import { hasEntryPerInstanceLater } from '../onnx/kserve-v1/outputs.ts'
import { ProtocolCodec } from '../onnx/oip/codec.ts'
import { TensorCodec } from '../onnx/predictions/codec.ts'
import { isInvalidInput } from '../onnx/table-reading.ts'
import type { ModelMetadata, TensorSpec } from '../onnx/tensors/metadata.ts'
import { checkRows } from '../onnx/tensors/shape.ts'
import type { Tensor } from '../onnx/tensors/tensor.ts'

/** Runs the steps. `inputs` are in the order of `specs`. */
export type RunTensors = (
  id: string,
  specs: readonly TensorSpec[],
  inputs: readonly Tensor[],
  outputs: readonly TensorSpec[],
) => Promise<readonly Tensor[]>

/** A request, and the specifications of its inputs. */
export interface PipelineRequest {
  readonly decoded: Decoded
  readonly specs: readonly TensorSpec[]
}

export class TypedPipeline {
  readonly #metadata: ModelMetadata
  readonly #tensors: Codecs
  /** Codecs with image files in place of tensors; absent if no input takes them. */
  readonly #files: Codecs | undefined

  /** @param images Names of the inputs that may be image files. */
  constructor(
    metadata: ModelMetadata,
    images: readonly string[],
    options: WorkerOptions,
    run: RunTensors,
  ) {
    this.#metadata = metadata
    this.#tensors = new Codecs(metadata, options, run)
    const inputs = metadata.inputs.map((spec) =>
      images.includes(spec.name) ? filesOf(spec) : spec,
    )
    if (images.length > 0) this.#files = new Codecs({ ...metadata, inputs }, options, run)
  }

  /** The specifications of some outputs. */
  outputs(names: readonly string[]): readonly TensorSpec[] {
    return names.flatMap((name) => this.#metadata.outputs.filter((spec) => spec.name === name))
  }

  /** @throws ServerError 4xx */
  async decode(request: WireRequest, headers: RequestHeaders): Promise<PipelineRequest> {
    const read = await this.#read(request, headers)
    const { maxBatchSize } = this.#metadata
    if (maxBatchSize > 0) checkRows(read.specs, read.decoded.inputs, maxBatchSize)
    return read
  }

  async #read(request: WireRequest, headers: RequestHeaders): Promise<PipelineRequest> {
    const files = this.#files
    const image = await files?.readImage(request, headers)
    if (image !== undefined) return image
    try {
      return await this.#tensors.decode(request, headers)
    } catch (error) {
      if (files === undefined || !isInvalidInput(error)) throw error
      // The first error is about tensors, which most requests have.
      return files.decode(request, headers).catch(() => {
        throw error
      })
    }
  }
}

/** The codecs of one form of the inputs. */
class Codecs {
  readonly #specs: readonly TensorSpec[]
  readonly #plain: TensorCodec
  readonly #v1: InstancesCodec
  readonly #v2: ProtocolCodec
  readonly #grpc: RequestCodec

  constructor(metadata: ModelMetadata, options: WorkerOptions, run: RunTensors) {
    const { inputs, outputs } = metadata
    this.#specs = inputs
    this.#v2 = new ProtocolCodec(metadata, options)
    this.#v1 = new InstancesCodec(metadata, options, (id, examples) =>
      hasEntryPerInstanceLater(metadata, examples, (zeros) => run(id, inputs, zeros, outputs)),
    )
    this.#plain = new TensorCodec(metadata, options, this.#v2)
    this.#grpc = new LateCodec(async () => {
      const { MessageCodec } = await import('../onnx/oip/grpc-messages/codec.ts')
      return new MessageCodec(metadata, options)
    })
  }

  async decode(request: WireRequest, headers: RequestHeaders): Promise<PipelineRequest> {
    const decoded = await this.#codecOf(headers).decode(request, headers)
    return { decoded, specs: this.#specs }
  }

  /** Reads a body that is an image, if there is only one input. */
  async readImage(
    { id, parameters }: WireRequest,
    headers: RequestHeaders,
  ): Promise<PipelineRequest | undefined> {
    const [only, ...others] = this.#specs
    const body = parameters.find(({ name }) => name === BODY)?.value
    const isImage = body !== undefined && fileFormatOf(body)?.endsWith(' image') === true
    const codec = this.#codecOf(headers)
    if (!isImage || only === undefined || others.length > 0 || !('respond' in codec))
      return undefined
    const tensor: Tensor = { datatype: 'BYTES', shape: [1], data: [body.toString('latin1')] }
    return { decoded: await codec.respond(id, [tensor], headers), specs: this.#specs }
  }

  #codecOf({
    dialect,
  }: RequestHeaders): TensorCodec | InstancesCodec | ProtocolCodec | RequestCodec {
    switch (dialect) {
      case undefined:
        return this.#plain
      case 'v1':
        return this.#v1
      case 'v2':
        return this.#v2
      case 'grpc':
        return this.#grpc
      default:
        throw new ServerError('InvalidInputException', 'A pipeline answers no texts.')
    }
  }
}

/** The elements are files, as for models with the handler for images. */
function filesOf({ name }: TensorSpec): TensorSpec {
  return { name, datatype: 'BYTES', shape: [-1], dimensions: [''], holdsFiles: true }
}
