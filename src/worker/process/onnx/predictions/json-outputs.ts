import { JsonWriter } from '../json/writer.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** Bytes that an element takes at a guess. */
const ELEMENT_BYTES = 12

/** An answer of onnxd's own: an object keyed by output name, nested arrays, one line. */
export function writePlainResponse(
  names: readonly string[],
  outputs: readonly Tensor[],
  maxBytes: number,
): Buffer {
  const writer = new JsonWriter(maxBytes, expectedBytes(outputs))
  for (const [index, output] of outputs.entries()) {
    const name = names[index] ?? ''
    writer
      .ascii(index > 0 ? ',' : '{')
      .string(name)
      .ascii(':')
      .nested(output, name)
  }
  return writer.ascii(outputs.length > 0 ? '}\n' : '{}\n').finish()
}

/** A guess of an answer's size in JSON. */
export function expectedBytes(outputs: readonly Tensor[]): number {
  return outputs.reduce((sum, output) => sum + output.data.length * ELEMENT_BYTES + 128, 256)
}
