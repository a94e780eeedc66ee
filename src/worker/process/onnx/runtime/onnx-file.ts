/** Looks up in a `.onnx` file what onnxruntime-node does not tell: which inputs have no shape. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { ProtoError, ProtoFile } from '../batching/proto-file.ts'
import type { ProtoField, Range } from '../batching/proto-file.ts'

/** Field numbers of `ModelProto`, `GraphProto`, `ValueInfoProto`, `TypeProto` and `TypeProto.Tensor`. */
const GRAPH = 7
const INPUT = 11
const NAME = 1
const TYPE = 2
const TENSOR_TYPE = 1
const SHAPE = 2
const MAX_NAME_BYTES = 64 * 1024

/**
 * Names of the graph's inputs that declare no shape, which onnxruntime shows as it shows scalars.
 * Weights are skipped, not read. Finds nothing in a file that it cannot read: onnxruntime has
 * loaded the file already.
 */
export function inputsWithoutShape(file: string): ReadonlySet<string> {
  const descriptor = openSync(file, 'r')
  try {
    const source = new ProtoFile(descriptor, fstatSync(descriptor).size)
    return new Set(namesWithoutShape(source))
  } catch (error) {
    if (error instanceof ProtoError) return new Set()
    throw error
  } finally {
    closeSync(descriptor)
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

/** The name in a `ValueInfoProto` of a tensor without a shape. */
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
