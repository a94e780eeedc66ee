/** Reads from a `.onnx` file what onnxruntime-node does not report: which inputs have no shape. */
import { ProtoError, withProtoFile } from '../../../../formats/proto-file.ts'
import type { ProtoField, ProtoFile, Range } from '../../../../formats/proto-file.ts'

/**
 * Field numbers of `ModelProto`, `GraphProto`, `ValueInfoProto`, `TypeProto` and
 * `TypeProto.Tensor`.
 */
const GRAPH = 7
const INPUT = 11
const NAME = 1
const TYPE = 2
const TENSOR_TYPE = 1
const SHAPE = 2
const MAX_NAME_BYTES = 64 * 1024

/**
 * Returns the names of the inputs without a declared shape, which onnxruntime reports like scalars.
 * Weights are skipped. The result is empty for a file that cannot be parsed; onnxruntime has
 * already loaded it.
 */
export function inputsWithoutShape(file: string): ReadonlySet<string> {
  try {
    return withProtoFile(file, (source) => new Set(namesWithoutShape(source)))
  } catch (error) {
    if (error instanceof ProtoError) return new Set()
    throw error
  }
}

function* namesWithoutShape(source: ProtoFile): Generator<string> {
  for (const graph of source.fields(source.whole)) {
    if (graph.number !== GRAPH) continue
    for (const field of source.fields(graph)) {
      const name = field.number === INPUT ? nameWithoutShape(source, field) : undefined
      if (name !== undefined) yield name
    }
  }
}

/** The name in a `ValueInfoProto`, if it is a tensor without a shape. */
function nameWithoutShape(source: ProtoFile, value: Range): string | undefined {
  const type = memberOf(source, value, TYPE)
  const tensor = type && memberOf(source, type, TENSOR_TYPE)
  const name = memberOf(source, value, NAME)
  if (tensor === undefined || memberOf(source, tensor, SHAPE) !== undefined) return undefined
  return name && source.bytes(name, MAX_NAME_BYTES).toString('utf8')
}

function memberOf(source: ProtoFile, message: Range, wanted: number): ProtoField | undefined {
  for (const field of source.fields(message)) if (field.number === wanted) return field
  return undefined
}
