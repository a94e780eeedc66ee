/** Joining tensors along the first dimension and cutting them apart again. */
import { allocateData, bytesOfData } from './tensor.ts'
import type { NumericTensor, Tensor } from './tensor.ts'

/** Size of the first dimension; `undefined` for a scalar. */
export function rowsOf(tensor: Tensor): number | undefined {
  return tensor.shape[0]
}

/** One tensor of all rows, copied once. All have the first one's datatype and dimensions but the first. */
export function joinRows(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors
  if (first === undefined) throw new TypeError('nothing to join')
  const rows = tensors.reduce((sum, tensor) => sum + (rowsOf(tensor) ?? 0), 0)
  const shape = [rows, ...first.shape.slice(1)]
  if (first.datatype === 'BYTES') {
    return { datatype: 'BYTES', shape, data: tensors.flatMap((tensor) => textsOf(tensor)) }
  }
  const parts = tensors.map((tensor) => numbersOf(tensor).data)
  const data = allocateData(
    first.datatype,
    parts.reduce((sum, part) => sum + part.length, 0),
  )
  const bytes = bytesOfData(data)
  let offset = 0
  for (const part of parts) {
    bytes.set(bytesOfData(part), offset)
    offset += part.byteLength
  }
  return { datatype: first.datatype, shape, data }
}

/** The tensor in pieces of so many rows each, views of its elements. `rows` add up to its first dimension. */
export function splitRows(tensor: Tensor, rows: readonly number[]): Tensor[] {
  const [, ...rest] = tensor.shape
  const rowLength = tensor.data.length / Math.max(rowsOf(tensor) ?? 0, 1)
  let row = 0
  return rows.map((count) => {
    const from = row * rowLength
    row += count
    const shape = [count, ...rest]
    return tensor.datatype === 'BYTES'
      ? { datatype: 'BYTES', shape, data: tensor.data.slice(from, row * rowLength) }
      : { datatype: tensor.datatype, shape, data: tensor.data.subarray(from, row * rowLength) }
  })
}

function textsOf(tensor: Tensor): string[] {
  if (tensor.datatype !== 'BYTES') throw new TypeError('numbers among strings')
  return tensor.data
}

function numbersOf(tensor: Tensor): NumericTensor {
  if (tensor.datatype === 'BYTES') throw new TypeError('strings among numbers')
  return tensor
}
