/**
 * Writes a `ModelInferResponse`, the response of the Open Inference Protocol over gRPC. All outputs
 * are raw bytes, as Triton's clients expect.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { responseTooLarge } from '../../json/writer.ts'
import type { ModelMetadata } from '../../tensors/metadata.ts'
import { bytesOfData } from '../../tensors/tensor.ts'
import type { Tensor } from '../../tensors/tensor.ts'
import { elementsByteLength, writeElements } from '../binary-elements.ts'
import type { OutputForm } from '../output-form.ts'

/** Bytes for everything but the elements, in addition to the limit. */
const HEAD_ROOM_BYTES = 1024 * 1024
/** Field numbers of `ModelInferResponse`, of `InferOutputTensor` and of an entry of a map. */
const RESPONSE = { name: 1, version: 2, id: 3, parameters: 4, outputs: 5, raw: 6 } as const
const OUTPUT = { name: 1, datatype: 2, shape: 3 } as const
const ENTRY = { key: 1, value: 2 } as const
const FLAG = 1

export interface MessageAnswer {
  /** As the client sent it; empty when it is missing. */
  readonly id: Buffer
  readonly forms: readonly OutputForm[]
  /** Name of a parameter of the response that is true; absent if it has none. */
  readonly flag: string | undefined
}

/** @throws ServerError 507 when the outputs together exceed `maxBytes`. */
export function writeMessageResponse(
  model: ModelMetadata,
  { id, forms, flag }: MessageAnswer,
  outputs: readonly Tensor[],
  maxBytes: number,
): Buffer {
  const head = new BinaryWriter()
  head.tag(RESPONSE.name, WireType.LengthDelimited).string(model.name)
  head.tag(RESPONSE.version, WireType.LengthDelimited).string(model.version)
  if (id.length > 0) head.tag(RESPONSE.id, WireType.LengthDelimited).bytes(id)
  if (flag !== undefined) writeFlag(head, flag)
  for (const [index, { datatype, shape }] of outputs.entries()) {
    head.tag(RESPONSE.outputs, WireType.LengthDelimited).fork()
    head.tag(OUTPUT.name, WireType.LengthDelimited).string(forms[index]?.name ?? '')
    head.tag(OUTPUT.datatype, WireType.LengthDelimited).string(datatype)
    if (shape.length > 0) {
      head.tag(OUTPUT.shape, WireType.LengthDelimited).fork()
      for (const dimension of shape) head.int64(dimension)
      head.join()
    }
    head.join()
  }
  return withRaw(head.finish(), outputs, maxBytes)
}

/** The message with the elements of each output behind it, copied once. */
function withRaw(head: Uint8Array, outputs: readonly Tensor[], maxBytes: number): Buffer {
  const sizes = outputs.map(sizeOf)
  const rawBytes = sizes.reduce((sum, size) => sum + size, 0)
  if (rawBytes > maxBytes || head.length > maxBytes + HEAD_ROOM_BYTES)
    throw responseTooLarge(maxBytes)
  const prefixes = sizes.map((size) =>
    new BinaryWriter().tag(RESPONSE.raw, WireType.LengthDelimited).uint32(size).finish(),
  )
  const prefixBytes = prefixes.reduce((sum, { length }) => sum + length, 0)
  const bytes = Buffer.allocUnsafe(head.length + prefixBytes + rawBytes)
  bytes.set(head)
  let at = head.length
  for (const [index, output] of outputs.entries()) {
    const prefix = prefixes[index] ?? head
    bytes.set(prefix, at)
    at += prefix.length
    if (output.datatype === 'BYTES') at = writeElements(output.data, bytes, at)
    else {
      bytes.set(bytesOfData(output.data), at)
      at += output.data.byteLength
    }
  }
  return bytes
}

function writeFlag(head: BinaryWriter, name: string): void {
  head.tag(RESPONSE.parameters, WireType.LengthDelimited).fork()
  head.tag(ENTRY.key, WireType.LengthDelimited).string(name)
  head.tag(ENTRY.value, WireType.LengthDelimited).fork()
  head.tag(FLAG, WireType.Varint).bool(true).join()
  head.join()
}

function sizeOf(output: Tensor): number {
  return output.datatype === 'BYTES' ? elementsByteLength(output.data) : output.data.byteLength
}
