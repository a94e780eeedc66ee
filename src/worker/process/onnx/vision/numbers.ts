/** Reads the numbers of output tensors. */
import { halfToNumber } from '../tensors/half.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** The elements of a tensor as numbers. */
export type Numbers = Float32Array | Float64Array

/** A matrix in the elements of a tensor. */
export interface Matrix {
  readonly data: Numbers
  readonly start: number
  readonly rows: number
  readonly columns: number
  readonly rowStep: number
  readonly columnStep: number
}

/** The elements as numbers, without a copy if they are FP32 or FP64. */
export function numbersOf({ datatype, data }: Tensor): Numbers {
  if (data instanceof Float32Array || data instanceof Float64Array) return data
  const values = new Float64Array(data.length)
  for (let at = 0; at < values.length; at++) {
    values[at] = datatype === 'FP16' ? halfToNumber(Number(data[at])) : Number(data[at])
  }
  return values
}

/** The part of a tensor [images,…] that belongs to one image. */
export function partOf(data: Numbers, images: number, image: number): Numbers {
  const length = images === 0 ? 0 : Math.floor(data.length / images)
  return data.subarray(image * length, (image + 1) * length)
}

/** A matrix with the elements row by row. */
export function matrixOf(data: Numbers, columns: number): Matrix {
  const rows = columns === 0 ? 0 : Math.floor(data.length / columns)
  return { data, start: 0, rows, columns, rowStep: columns, columnStep: 1 }
}

/** The matrix with rows and columns exchanged, on the same elements. */
export function transposed({ data, start, rows, columns, rowStep, columnStep }: Matrix): Matrix {
  return { data, start, rows: columns, columns: rows, rowStep: columnStep, columnStep: rowStep }
}

/** The columns from `first` on, on the same elements. */
export function columnsFrom(matrix: Matrix, first: number): Matrix {
  const start = matrix.start + first * matrix.columnStep
  return { ...matrix, start, columns: Math.max(0, matrix.columns - first) }
}

/** One element; NaN outside the matrix. */
export function elementAt(matrix: Matrix, row: number, column: number): number {
  return matrix.data[matrix.start + row * matrix.rowStep + column * matrix.columnStep] ?? NaN
}
