/**
 * Reads the body of a KServe V1 request: `{"instances": […]}`, or the same under `inputs`, which
 * may also be keyed by input name.
 */
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

/** Maximum number of unknown members of a request that are skipped. */
const MAX_UNKNOWN_MEMBERS = 1000

/**
 * Returns tensors in the model's order. Their first dimension is the number of instances.
 * @throws ServerError 400
 */
export function readInstances(reader: JsonReader, table: InputTable): readonly Tensor[] {
  let inputs: InputSet | undefined
  let unknown = 0
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = reader.readKey()
    if (name !== 'instances' && name !== 'inputs') {
      if (++unknown > MAX_UNKNOWN_MEMBERS) {
        throw invalid(`The request has more than ${MAX_UNKNOWN_MEMBERS} unknown members.`)
      }
      reader.skipValue()
      continue
    }
    if (inputs !== undefined) throw invalid('The request has "instances" twice.')
    inputs = new InputSet(table)
    if (name === 'inputs' && reader.isObject()) readColumns(reader, inputs)
    else if (beginsWithObject(reader)) addRows(inputs, table, reader, elementsOf(reader))
    else {
      const spec = table.only('A list of instances that are not objects')
      inputs.add(spec.name, stacked(spec, readList(reader, name, spec)))
    }
  }
  reader.end()
  if (inputs === undefined) throw invalid('The request has no "instances".')
  return inputs.complete()
}

function readList(reader: JsonReader, name: string, spec: TensorSpec): Tensor {
  if (!reader.isArray()) throw invalid(`"${name}" must be a list, not ${reader.token()}.`)
  return readTensor(reader, spec)
}

/** Reads an object of input names, each with a list of the values of all instances. */
function readColumns(reader: JsonReader, inputs: InputSet): void {
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const spec = inputs.claim(reader.readKey())
    inputs.add(spec.name, stacked(spec, readTensor(reader, spec)))
  }
}

/**
 * Reads instances that stand one after the other: objects keyed by input name, or the values of the
 * only input. `next` moves to the next instance, and returns false at the end.
 * @throws ServerError 400
 */
export function readInstanceRows(
  reader: JsonReader,
  table: InputTable,
  next: () => boolean,
): readonly Tensor[] {
  const inputs = new InputSet(table)
  addRows(inputs, table, reader, next)
  return inputs.complete()
}

/** Returns a function that moves to the next element of the array at the reader's position. */
export function elementsOf(reader: JsonReader): () => boolean {
  let isOpen = false
  return () => {
    if (isOpen) return reader.nextElement()
    isOpen = true
    return reader.openArray()
  }
}

function addRows(
  inputs: InputSet,
  table: InputTable,
  reader: JsonReader,
  next: () => boolean,
): void {
  const columns = table.specs.map((): Tensor[] => [])
  let isKeyed: boolean | undefined
  for (let count = 0; next(); count++) {
    isKeyed ??= reader.isObject()
    if (isKeyed) readInstance(reader, table, columns)
    else
      columns[0]?.push(readTensor(reader, table.only('A list of instances that are not objects')))
    const missing = columns.findIndex((column) => column.length <= count)
    if (missing !== -1) {
      const name = quote(table.specs[missing]?.name ?? '')
      throw invalid(`Instance ${count} has no input ${name}; ${table.expected()}.`)
    }
  }
  for (const [position, spec] of table.specs.entries()) {
    const column = columns[position] ?? []
    inputs.add(spec.name, stacked(spec, joinInstances(spec, column)))
  }
}

function readInstance(reader: JsonReader, table: InputTable, columns: readonly Tensor[][]): void {
  const instance = new InputSet(table)
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const spec = instance.claim(reader.readKey())
    columns[table.positionOf(spec.name)]?.push(readTensor(reader, spec))
  }
}

function joinInstances(spec: TensorSpec, column: readonly Tensor[]): Tensor {
  const shape = column[0]?.shape ?? []
  const odd = column.find((one) => one.shape.join() !== shape.join())
  if (odd !== undefined) {
    const shapes = `${shapeText(shape)} and ${shapeText(odd.shape)}`
    throw invalid(`Input ${quote(spec.name)}: the instances have different shapes, ${shapes}.`)
  }
  return joinRows(column.map((one) => ({ ...one, shape: [1, ...one.shape] })))
}

/**
 * Adapts the tensor to the model's shape.
 * @throws ServerError 400 when the first dimension would no longer be the number of instances.
 */
function stacked(spec: TensorSpec, tensor: Tensor): Tensor {
  const shape = adaptShape(spec, tensor.shape, tensor.data.length)
  if (shape[0] !== tensor.shape[0]) throw shapeError(spec, tensor.shape)
  return shape === tensor.shape ? tensor : { ...tensor, shape }
}

/** Looks ahead without moving the reader. */
function beginsWithObject(reader: JsonReader): boolean {
  if (!reader.isArray()) return false
  const ahead = new JsonReader(reader.bytes, reader.maxDepth)
  ahead.position = reader.position
  return ahead.openArray() && ahead.isObject()
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
