/** JSON bodies of onnxd's own: an object keyed by input name, or the bare value of a model's only input. */
import { ServerError } from '../../../../errors.ts'
import type { CodecLimits } from '../codec.ts'
import { JsonReader } from '../json/reader.ts'
import { readTensor } from '../json/tensor-reader.ts'
import { InputSet } from '../tensors/inputs.ts'
import type { InputTable } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { adaptShape } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** Members of an Open Inference Protocol request; an input of such a name does not settle the form. */
const PROTOCOL_MEMBERS: ReadonlySet<string> = new Set(['id', 'parameters', 'inputs', 'outputs'])
/** Members to look at before the form of a body is settled. */
const MAX_UNKNOWN_MEMBERS = 1000

/** Tensors of an object keyed by input name, or of a bare value, in the model's order. */
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

/** The value of one input, as nested arrays in a shape that the model takes. */
export function readShaped(reader: JsonReader, spec: TensorSpec): Tensor {
  const tensor = readTensor(reader, spec)
  const shape = adaptShape(spec, tensor.shape, tensor.data.length)
  return shape === tensor.shape ? tensor : { ...tensor, shape }
}

/**
 * Is the body an Open Inference Protocol request, that is an object whose `inputs` is not the value of an
 * input of that name? Looks no further than the first member that settles it; the reader does not move.
 */
export function isProtocolRequest(reader: JsonReader, table: InputTable): boolean {
  if (!reader.isObject()) return false
  const start = reader.position
  const ahead = new JsonReader(reader.bytes, reader.maxDepth)
  ahead.position = start
  let unknown = 0
  for (let more = ahead.openObject(); more; more = ahead.nextMember()) {
    const name = ahead.readKey()
    if (name === 'inputs') return !table.has(name) || beginsWithObject(ahead)
    if (table.has(name) && !PROTOCOL_MEMBERS.has(name)) return false
    if (++unknown > MAX_UNKNOWN_MEMBERS) {
      throw new ServerError(
        'InvalidInputException',
        `More than ${MAX_UNKNOWN_MEMBERS} members that are not known; ${table.expected()}.`,
      )
    }
    ahead.skipValue()
  }
  return false
}

/**
 * Whether a text is a request in JSON: an object that begins with the name of an input, or one of
 * the Open Inference Protocol. Text that only looks like one, such as a template in braces, is not.
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

function beginsWithObject(reader: JsonReader): boolean {
  return reader.isArray() && reader.openArray() && reader.isObject()
}
