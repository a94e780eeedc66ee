/** The body of a KServe V1 request: `{"instances": […]}`, or the same under `inputs`, which may also be keyed by input name. */
import { ServerError } from '../../../../errors.ts'
import { JsonReader } from '../json/reader.ts'
import { readTensor } from '../json/tensor-reader.ts'
import { quote, shapeText } from '../tensors/error-text.ts'
import { InputSet } from '../tensors/inputs.ts'
import type { InputTable } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { joinRows } from '../tensors/rows.ts'
import { adaptShape, shapeError } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** Members of a request that are passed over. */
const MAX_UNKNOWN_MEMBERS = 1000

/**
 * Tensors in the model's order, their first dimension the instances.
 * @throws ServerError 400
 */
export function readInstances(reader: JsonReader, table: InputTable): readonly Tensor[] {
  let inputs: InputSet | undefined
  let unknown = 0
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = reader.readKey()
    if (name !== 'instances' && name !== 'inputs') {
      if (++unknown > MAX_UNKNOWN_MEMBERS) {
        throw invalid(`More than ${MAX_UNKNOWN_MEMBERS} members that are not known.`)
      }
      reader.skipValue()
      continue
    }
    if (inputs !== undefined) throw invalid('The instances are given twice.')
    inputs = new InputSet(table)
    if (name === 'inputs' && reader.isObject()) readColumns(reader, inputs)
    else if (beginsWithObject(reader)) readRows(reader, inputs, table)
    else {
      const spec = table.only('A list of instances that are no objects')
      inputs.add(spec.name, stacked(spec, readList(reader, name, spec)))
    }
  }
  reader.end()
  if (inputs === undefined) throw invalid('The request has no "instances".')
  return inputs.complete()
}

function readList(reader: JsonReader, name: string, spec: TensorSpec): Tensor {
  if (!reader.isArray()) throw invalid(`"${name}" must be a list, got ${reader.token()}.`)
  return readTensor(reader, spec)
}

/** Input names with lists of the values of all instances. */
function readColumns(reader: JsonReader, inputs: InputSet): void {
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const spec = inputs.claim(reader.readKey())
    inputs.add(spec.name, stacked(spec, readTensor(reader, spec)))
  }
}

/** A list of objects keyed by input name, one for each instance. */
function readRows(reader: JsonReader, inputs: InputSet, table: InputTable): void {
  const columns = table.specs.map((): Tensor[] => [])
  let count = 0
  for (let more = reader.openArray(); more; more = reader.nextElement()) {
    const instance = new InputSet(table)
    for (let other = reader.openObject(); other; other = reader.nextMember()) {
      const spec = instance.claim(reader.readKey())
      columns[table.positionOf(spec.name)]?.push(readTensor(reader, spec))
    }
    count++
    const missing = columns.findIndex((column) => column.length < count)
    if (missing !== -1) {
      const name = quote(table.specs[missing]?.name ?? '')
      throw invalid(`Instance ${count - 1} has no input ${name}; ${table.expected()}.`)
    }
  }
  for (const [position, spec] of table.specs.entries()) {
    const column = columns[position] ?? []
    inputs.add(spec.name, stacked(spec, joinInstances(spec, column)))
  }
}

function joinInstances(spec: TensorSpec, column: readonly Tensor[]): Tensor {
  const shape = column[0]?.shape ?? []
  const odd = column.find((one) => one.shape.join() !== shape.join())
  if (odd !== undefined) {
    const shapes = `${shapeText(shape)} and ${shapeText(odd.shape)}`
    throw invalid(`Input ${quote(spec.name)}: the instances differ in shape, ${shapes}.`)
  }
  return joinRows(column.map((one) => ({ ...one, shape: [1, ...one.shape] })))
}

/** In the model's shape, as long as every instance stays one row. */
function stacked(spec: TensorSpec, tensor: Tensor): Tensor {
  const shape = adaptShape(spec, tensor.shape, tensor.data.length)
  if (shape[0] !== tensor.shape[0]) throw shapeError(spec, tensor.shape)
  return shape === tensor.shape ? tensor : { ...tensor, shape }
}

/** Looks ahead; the reader does not move. */
function beginsWithObject(reader: JsonReader): boolean {
  if (!reader.isArray()) return false
  const ahead = new JsonReader(reader.bytes, reader.maxDepth)
  ahead.position = reader.position
  return ahead.openArray() && ahead.isObject()
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
