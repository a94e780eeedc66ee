/**
 * The image handler over gRPC: the image input may have the datatype BYTES instead of its own. Its
 * elements are image files. The responses are the model's tensors.
 */
import type { WireRequest } from '../../../wire/messages.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import { MessageCodec, messageOf } from '../oip/grpc-messages/codec.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import type { ImagePreparer } from './prepare.ts'
import { ImageCall, fileInput, fileOfElement } from './protocol-codec.ts'

export class ImageMessageCodec implements RequestCodec {
  readonly #preparer: ImagePreparer
  readonly #tensors: MessageCodec
  /** Decodes requests with BYTES. The model of this codec has no other input. */
  readonly #files: MessageCodec

  constructor(preparer: ImagePreparer, model: ModelMetadata, limits: CodecLimits) {
    this.#preparer = preparer
    this.#tensors = new MessageCodec(model, limits)
    const inputs = [fileInput(preparer.inputName)]
    this.#files = new MessageCodec({ ...model, inputs }, limits)
  }

  decode(request: WireRequest): Decoded | Promise<Decoded> {
    const message = messageOf(request)
    const { inputName } = this.#preparer
    const sendsFiles = message.inputs.some(
      ({ name, datatype }) => name === inputName && datatype === 'BYTES',
    )
    if (!sendsFiles) return this.#tensors.open(request.id, message)
    return this.#prepare(this.#files.open(request.id, message))
  }

  async #prepare(call: Decoded): Promise<Decoded> {
    const files = call.inputs.flatMap(({ data }) => Array.from(data, String)).map(fileOfElement)
    const { inputs } = await this.#preparer.prepare(files)
    return new ImageCall(call, inputs)
  }
}
