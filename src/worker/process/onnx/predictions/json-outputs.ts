import { JsonWriter } from '../json/writer.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { OutputWriter } from './class-forms.ts'

/** Estimated bytes per element. */
const ELEMENT_BYTES = 12

/**
 * Writes onnxd's own response: an object keyed by output name, with nested arrays, in one line.
 * @param writers Writers of outputs that are not written as their elements, by name.
 * @throws ServerError 507 when it exceeds `maxBytes`
 */
export function writePlainResponse(
  names: readonly string[],
  outputs: readonly Tensor[],
  maxBytes: number,
  writers: ReadonlyMap<string, OutputWriter>,
): Buffer {
  const writer = new JsonWriter(maxBytes, expectedBytes(outputs))
  for (const [index, output] of outputs.entries()) {
    const name = names[index] ?? ''
    writer
      .ascii(index > 0 ? ',' : '{')
      .string(name)
      .ascii(':')
    const write = writers.get(name)
    if (write === undefined) writer.nested(output, name)
    else write(writer, output)
  }
  return writer.ascii(outputs.length > 0 ? '}\n' : '{}\n').finish()
}

/** Estimates the size of a response in JSON, bytes. */
export function expectedBytes(outputs: readonly Tensor[]): number {
  return outputs.reduce((sum, output) => sum + output.data.length * ELEMENT_BYTES + 128, 256)
}
