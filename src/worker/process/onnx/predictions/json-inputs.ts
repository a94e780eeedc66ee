/**
 * Reads onnxd's own JSON bodies: an object keyed by input name, or the bare value of a model's only
 * input.
 */
import { ServerError } from '../../../../errors.ts'
import type { CodecLimits } from '../codec.ts'
import { JsonReader } from '../json/reader.ts'
import { readTensor } from '../json/tensor-reader.ts'
import { InputSet } from '../tensors/inputs.ts'
import type { InputTable } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { adaptShape } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'

/**
 * Members of an Open Inference Protocol request. An input with one of these names does not decide
 * the format.
 */
const PROTOCOL_MEMBERS: ReadonlySet<string> = new Set(['id', 'parameters', 'inputs', 'outputs'])
/** Members of tables, in the forms of pandas, MLflow and TensorFlow Serving. */
const TABLE_MEMBERS: ReadonlySet<string> = new Set([
  'instances',
  'dataframe_split',
  'dataframe_records',
  'columns',
  'index',
  'data',
  'schema',
])
const NO_COLUMNS: ReadonlySet<string> = new Set()
/** Maximum number of members to read before the format of a body is decided. */
const MAX_UNKNOWN_MEMBERS = 1000

/** Reads an object keyed by input name, or a bare value. Returns tensors in the model's order. */
export function readPlainInputs(reader: JsonReader, table: InputTable): readonly Tensor[] {
  const inputs = new InputSet(table)
  if (reader.isObject()) {
    for (let more = reader.openObject(); more; more = reader.nextMember()) {
      const name = reader.readKey()
      inputs.add(name, readShaped(reader, inputs.claim(name)))
    }
  } else {
    const spec = table.only('A bare JSON value')
    inputs.add(spec.name, readShaped(reader, spec))
  }
  reader.end()
  return inputs.complete()
}

/** Reads the value of one input: nested arrays, adapted to the model's shape. */
export function readShaped(reader: JsonReader, spec: TensorSpec): Tensor {
  const tensor = readTensor(reader, spec)
  const shape = adaptShape(spec, tensor.shape, tensor.data.length)
  return shape === tensor.shape ? tensor : { ...tensor, shape }
}

/** What a JSON body is: tensors, a table, or a request of the Open Inference Protocol. */
export type JsonForm = 'plain' | 'table' | 'protocol'

/**
 * Decides the form of a body by its first member that is known. An Open Inference Protocol request
 * is an object whose `inputs` is not the value of an input with that name. A table is a list of
 * objects, an object with a member of {@link TABLE_MEMBERS}, or an object of columns. It does not
 * move the reader.
 * @param columns Names of columns that are not inputs.
 * @throws ServerError 400 when more than 1000 members do not decide it
 */
export function jsonForm(
  reader: JsonReader,
  table: InputTable,
  columns: ReadonlySet<string>,
): JsonForm {
  if (!reader.isObject()) return beginsWithObject(readerAt(reader)) ? 'table' : 'plain'
  const ahead = readerAt(reader)
  let unknown = 0
  for (let more = ahead.openObject(); more; more = ahead.nextMember()) {
    const name = ahead.readKey()
    if (table.has(name)) {
      if (name === 'inputs') return beginsWithObject(ahead) ? 'protocol' : 'plain'
      if (!PROTOCOL_MEMBERS.has(name)) return ahead.isObject() ? 'table' : 'plain'
    } else if (name === 'inputs') return 'protocol'
    else if (TABLE_MEMBERS.has(name) || columns.has(name)) return 'table'
    if (++unknown > MAX_UNKNOWN_MEMBERS) {
      throw new ServerError(
        'InvalidInputException',
        `The request has more than ${MAX_UNKNOWN_MEMBERS} unknown members; ${table.expected()}.`,
      )
    }
    ahead.skipValue()
  }
  return 'plain'
}

/** Whether the body is an Open Inference Protocol request. Does not move the reader. */
export function isProtocolRequest(reader: JsonReader, table: InputTable): boolean {
  return jsonForm(reader, table, NO_COLUMNS) === 'protocol'
}

/**
 * Whether a text is a JSON request: an object that starts with the name of an input, or an Open
 * Inference Protocol request. A text that only looks like JSON, such as a template in braces, is
 * not.
 */
export function namesInputs(bytes: Buffer, table: InputTable, limits: CodecLimits): boolean {
  try {
    const reader = new JsonReader(bytes, limits.maxJsonDepth)
    if (!reader.isObject()) return false
    if (isProtocolRequest(reader, table)) return true
    return reader.openObject() && table.has(reader.readKey())
  } catch {
    return false
  }
}

/** A second reader of the same body, at the same position. */
function readerAt({ bytes, maxDepth, position }: JsonReader): JsonReader {
  const ahead = new JsonReader(bytes, maxDepth)
  ahead.position = position
  return ahead
}

function beginsWithObject(reader: JsonReader): boolean {
  return reader.isArray() && reader.openArray() && reader.isObject()
}
