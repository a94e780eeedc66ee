/**
 * The image handler in the REST dialects of KServe. The responses are the model's tensors, as these
 * protocols require.
 */
import type { Dialect } from '../../../../contract/internal-headers.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import type { RequestHeaders } from '../headers.ts'
import { openJson } from '../json/open.ts'
import type { JsonReader } from '../json/reader.ts'
import type { InstancesCodec } from '../kserve-v1/codec.ts'
import { ProtocolCodec } from '../oip/codec.ts'
import type { ModelMetadata, TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { formatOfBytes } from './format.ts'
import { imageOfText } from './json-images.ts'
import type { ImagePreparer } from './prepare.ts'

/** `/v1`: images in `instances`, or a body that is an image. */
export class ImageInstancesCodec implements RequestCodec {
  readonly #preparer: ImagePreparer
  readonly #tensors: InstancesCodec

  constructor(preparer: ImagePreparer, tensors: InstancesCodec) {
    this.#preparer = preparer
    this.#tensors = tensors
  }

  async decode(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    const found = this.#preparer.find(request)
    if (found === undefined) return this.#tensors.decode(request, headers)
    const { inputs } = await this.#preparer.prepare(found.files)
    return this.#tensors.respond(request.id, inputs, headers)
  }
}

/**
 * `/v2`: the image input may have the datatype BYTES instead of its own. Its elements are image
 * files: in base64 in JSON, as they are in binary data. A body that is an image works too.
 */
export class ImageProtocolCodec implements RequestCodec {
  readonly #preparer: ImagePreparer
  readonly #limits: CodecLimits
  readonly #tensors: ProtocolCodec
  /** Decodes requests with BYTES. The model of this codec has no other input. */
  readonly #files: ProtocolCodec

  constructor(
    preparer: ImagePreparer,
    model: ModelMetadata,
    limits: CodecLimits,
    tensors: ProtocolCodec,
  ) {
    this.#preparer = preparer
    this.#limits = limits
    this.#tensors = tensors
    const inputs = [fileInput(preparer.inputName)]
    this.#files = new ProtocolCodec({ ...model, inputs }, limits)
  }

  async decode(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    const body = request.parameters.find(({ name }) => name === BODY)?.value ?? Buffer.alloc(0)
    const isImage = isImageFile(body)
    if (isImage && headers.jsonLength === undefined) {
      const { inputs } = await this.#preparer.prepare([body])
      return this.#tensors.respond(request.id, inputs, headers)
    }
    const sendsFiles =
      headers.jsonLength?.trim() === '0' ? isImage : this.#sendsFiles(body, headers.jsonLength)
    if (!sendsFiles) return this.#tensors.decode(request, headers)
    const call = this.#files.decode(request, headers)
    const files = call.inputs.flatMap(({ data }) => Array.from(data, String)).map(fileOfElement)
    const { inputs } = await this.#preparer.prepare(files)
    return new ImageCall(call, inputs)
  }

  /** Whether the request sends the image input as BYTES. Requests with tensors rarely have it. */
  #sendsFiles(body: Buffer, jsonLength: string | undefined): boolean {
    const json = body.subarray(0, jsonLength === undefined ? body.length : Number(jsonLength))
    if (!json.includes('"BYTES"')) return false
    try {
      return hasFileInput(openJson(json, this.#limits), this.#preparer.inputName)
    } catch {
      // The codec of tensors says what is wrong.
      return false
    }
  }
}

/** An input that takes image files. */
export function fileInput(name: string): TensorSpec {
  return { name, datatype: 'BYTES', shape: [-1], dimensions: [''], holdsFiles: true }
}

/** A request whose files have become tensors. */
export class ImageCall implements Decoded {
  readonly id: string
  readonly dialect: Dialect | undefined
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #call: Decoded

  constructor(call: Decoded, inputs: readonly Tensor[]) {
    this.id = call.id
    this.dialect = call.dialect
    this.inputs = inputs
    this.outputNames = call.outputNames
    this.#call = call
  }

  encode(outputs: readonly Tensor[]): WirePrediction | Promise<WirePrediction> {
    return this.#call.encode(outputs)
  }
}

function isImageFile(bytes: Buffer): boolean {
  const format = formatOfBytes(bytes)
  return format !== undefined && format !== 'other'
}

/** An element is the file, one character for each byte, or its base64. */
export function fileOfElement(element: string, index: number): Buffer {
  const bytes = Buffer.from(element, 'latin1')
  return isImageFile(bytes) ? bytes : imageOfText(element, index)
}

/** Reads only the names and datatypes of the inputs. */
function hasFileInput(reader: JsonReader, inputName: string): boolean {
  let isFound = false
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    if (reader.readKey() === 'inputs' && reader.isArray()) {
      for (let next = reader.openArray(); next; next = reader.nextElement()) {
        const { name, datatype } = readNames(reader)
        isFound ||= name === inputName && datatype === 'BYTES'
      }
    } else reader.skipValue()
  }
  return isFound
}

function readNames(reader: JsonReader): { readonly name: string; readonly datatype: string } {
  let name = ''
  let datatype = ''
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const key = reader.readKey()
    if (key === 'name' && reader.isString()) name = reader.readString()
    else if (key === 'datatype' && reader.isString()) datatype = reader.readString()
    else reader.skipValue()
  }
  return { name, datatype }
}
