/**
 * Writes responses of the Open Inference Protocol: JSON, followed by the outputs that were
 * requested as binary data.
 */
import type { WireHeader, WirePrediction } from '../../../wire/messages.ts'
import { JSON_LENGTH_HEADER } from '../headers.ts'
import { JsonWriter } from '../json/writer.ts'
import { JSON_TYPE, prediction } from '../prediction.ts'
import { expectedBytes } from '../predictions/json-outputs.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import { bytesOfData } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { elementsByteLength, writeElements } from './binary-elements.ts'
import type { OutputForm } from './output-form.ts'

/** Bytes for the JSON, in addition to the limit, when binary outputs follow it. */
const JSON_ROOM_BYTES = 1024 * 1024

export interface ProtocolResponse {
  readonly body: Buffer
  /** Bytes of the JSON when binary data follows, otherwise absent. */
  readonly jsonLength: number | undefined
}

/**
 * Writes one response. The data in JSON is a flat list. It contains only the members that the
 * protocol defines, because the protocol's Java client rejects unknown members and its C++ client
 * rejects `parameters` of an output in JSON.
 * @throws ServerError 507 when it exceeds `maxBytes`; JSON before binary data is not counted
 */
export function writeProtocolResponse(
  model: ModelMetadata,
  id: string | undefined,
  forms: readonly OutputForm[],
  outputs: readonly Tensor[],
  maxBytes: number,
): ProtocolResponse {
  const sizes = outputs.map((output, index) =>
    forms[index]?.isBinary === true ? sizeOf(output) : 0,
  )
  const binaryBytes = sizes.reduce((sum, size) => sum + size, 0)
  const inJson = binaryBytes === 0 ? outputs : outputs.filter((_, index) => !forms[index]?.isBinary)
  const writer = new JsonWriter(
    binaryBytes === 0 ? maxBytes : maxBytes + JSON_ROOM_BYTES,
    expectedBytes(inJson) + 128 * forms.length + binaryBytes,
  )
  writer.ascii('{')
  if (id !== undefined) writer.ascii('"id":').string(id).ascii(',')
  writer.ascii('"model_name":').string(model.name)
  writer.ascii(',"model_version":').string(model.version)
  writer.ascii(',"outputs":[')
  for (const [index, output] of outputs.entries()) {
    const { name = '', isBinary = false } = forms[index] ?? {}
    writer.ascii(index > 0 ? ',{"name":' : '{"name":').string(name)
    writer.ascii(`,"datatype":"${output.datatype}","shape":[${output.shape.join(',')}],`)
    if (isBinary) writer.ascii(`"parameters":{"binary_data_size":${sizes[index]}}}`)
    else writer.ascii('"data":').flat(output, name).ascii('}')
  }
  writer.ascii(']}')
  if (binaryBytes === 0) return { body: writer.finish(), jsonLength: undefined }
  const jsonLength = writer.length
  for (const [index, output] of outputs.entries()) {
    const size = sizes[index] ?? 0
    if (size > 0) writer.binary(size, (bytes, at) => writeBinary(output, bytes, at))
  }
  return { body: writer.finish(), jsonLength }
}

/** The prediction of a written response. */
export function protocolPrediction(
  id: string,
  { body, jsonLength }: ProtocolResponse,
  headers: readonly WireHeader[],
): WirePrediction {
  if (jsonLength === undefined) return prediction(id, 200, JSON_TYPE, body, headers)
  return prediction(id, 200, 'application/octet-stream', body, [
    [JSON_LENGTH_HEADER, String(jsonLength)],
    ...headers,
  ])
}

function sizeOf(output: Tensor): number {
  return output.datatype === 'BYTES' ? elementsByteLength(output.data) : output.data.byteLength
}

function writeBinary(output: Tensor, bytes: Buffer, at: number): void {
  if (output.datatype === 'BYTES') writeElements(output.data, bytes, at)
  else bytes.set(bytesOfData(output.data), at)
}
