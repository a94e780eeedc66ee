import { JsonWriter } from './json-writer.ts'
import type { ModelMetadata } from './metadata.ts'
import type { Tensor } from './tensor.ts'

/** Bytes that an element takes at a guess. */
const ELEMENT_BYTES = 12

/**
 * An Open Inference Protocol answer with all outputs in JSON, flat. Nothing beyond what the protocol names:
 * its Java client refuses unknown members, its C++ client any `parameters` of a JSON output.
 */
export function writeProtocolResponse(
  model: ModelMetadata,
  id: string | undefined,
  names: readonly string[],
  outputs: readonly Tensor[],
  maxBytes: number,
): Buffer {
  const writer = new JsonWriter(maxBytes, expectedBytes(outputs))
  writer.ascii('{')
  if (id !== undefined) writer.ascii('"id":').string(id).ascii(',')
  writer.ascii('"model_name":').string(model.name)
  writer.ascii(',"model_version":').string(model.version)
  writer.ascii(',"outputs":[')
  for (const [index, output] of outputs.entries()) {
    const name = names[index] ?? ''
    writer.ascii(index > 0 ? ',{"name":' : '{"name":').string(name)
    writer.ascii(`,"datatype":"${output.datatype}","shape":[${output.shape.join(',')}],"data":`)
    writer.flat(output, name).ascii('}')
  }
  return writer.ascii(']}').finish()
}

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

function expectedBytes(outputs: readonly Tensor[]): number {
  return outputs.reduce((sum, output) => sum + output.data.length * ELEMENT_BYTES + 128, 256)
}
