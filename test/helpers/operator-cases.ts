/** Models of one operator each, with outputs that plain arithmetic gives. */
import { floats, integers, node } from './onnx-builder.ts'
import type { Constant, NodeSource } from './onnx-builder.ts'

/** FP32 unless something else is said. */
export interface TestTensor {
  readonly shape: readonly number[]
  readonly data: readonly (number | boolean)[]
  readonly datatype?: 'FP32' | 'INT32' | 'INT64' | 'BOOL'
}

export interface OperatorCase {
  /** Inputs are called a, b, c; constants as they are called; the output is y. */
  readonly nodes: readonly NodeSource[]
  readonly inputs: readonly TestTensor[]
  readonly constants?: Readonly<Record<string, Constant>>
  readonly output: TestTensor
}

export const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const vector = (...data: readonly number[]): TestTensor => ({ shape: [data.length], data })
const matrix = (rows: number, columns: number, data: readonly number[]): TestTensor => ({
  shape: [rows, columns],
  data,
})
const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0)

/** `a · b` of the numbers of two matrices. */
function product(a: readonly number[], b: readonly number[], inner: number): number[] {
  const columns = b.length / inner
  return range((a.length / inner) * columns).map((place) => {
    const [row, column] = [Math.floor(place / columns), place % columns]
    return sum(range(inner).map((k) => (a[row * inner + k] ?? 0) * (b[k * columns + column] ?? 0)))
  })
}

/** Reduces each square of `size` of an image with the side `side`, moved by `step`. */
function squares(
  pixels: readonly number[],
  side: number,
  size: number,
  step: number,
  reduce: (square: readonly number[]) => number,
): number[] {
  const count = Math.floor((side - size) / step) + 1
  return range(count * count).map((place) => {
    const [top, left] = [Math.floor(place / count) * step, (place % count) * step]
    const inside = range(size * size)
    return reduce(
      inside.map((at) => pixels[(top + Math.floor(at / size)) * side + left + (at % size)] ?? 0),
    )
  })
}

const A = [1, -2, 3.5, 0, 5, -6]
const B = [0.5, 2, -1, 4, 0, 3]
const KERNEL = [1, 0, -1, 2]
const IMAGE = range(16).map((pixel) => ((pixel * 7) % 11) - 4)
const EXPONENTIALS = [1, 2, 3].map((value) => Math.exp(value))

function elementwise(
  operator: string,
  compute: (a: number, b: number) => number | boolean,
  datatype: 'FP32' | 'BOOL' = 'FP32',
): OperatorCase {
  return {
    nodes: [node(operator, ['a', 'b'], 'y')],
    inputs: [matrix(2, 3, A), matrix(2, 3, B)],
    output: { shape: [2, 3], data: A.map((a, index) => compute(a, B[index] ?? 0)), datatype },
  }
}

function unary(operator: string, compute: (a: number) => number, attributes = {}): OperatorCase {
  return {
    nodes: [node(operator, ['a'], 'y', attributes)],
    inputs: [matrix(2, 3, A)],
    output: matrix(2, 3, A.map(compute)),
  }
}

function reduced(operator: string, compute: (row: readonly number[]) => number): OperatorCase {
  return {
    nodes: [node(operator, ['a'], 'y', { axes: [1], keepdims: 0 })],
    inputs: [matrix(2, 3, A)],
    output: vector(compute(A.slice(0, 3)), compute(A.slice(3))),
  }
}

export const OPERATORS: Readonly<Record<string, OperatorCase>> = {
  Add: elementwise('Add', (a, b) => a + b),
  Sub: elementwise('Sub', (a, b) => a - b),
  Mul: elementwise('Mul', (a, b) => a * b),
  Max: elementwise('Max', Math.max),
  Less: elementwise('Less', (a, b) => a < b, 'BOOL'),
  'Add of a row to each row': {
    nodes: [node('Add', ['a', 'b'], 'y')],
    inputs: [matrix(2, 3, A), vector(10, 20, 30)],
    output: matrix(
      2,
      3,
      A.map((a, index) => a + 10 * ((index % 3) + 1)),
    ),
  },
  Relu: unary('Relu', (a) => Math.max(a, 0)),
  LeakyRelu: unary('LeakyRelu', (a) => (a < 0 ? a / 4 : a), { alpha: { float: 0.25 } }),
  Neg: unary('Neg', (a) => -a),
  Abs: unary('Abs', Math.abs),
  Exp: unary('Exp', Math.exp),
  Tanh: unary('Tanh', Math.tanh),
  Sigmoid: unary('Sigmoid', (a) => 1 / (1 + Math.exp(-a))),
  Identity: unary('Identity', (a) => a),
  ReduceMean: reduced('ReduceMean', (row) => sum(row) / row.length),
  ReduceMax: reduced('ReduceMax', (row) => Math.max(...row)),
  MatMul: {
    nodes: [node('MatMul', ['a', 'b'], 'y')],
    inputs: [matrix(2, 3, A), matrix(3, 2, B)],
    output: matrix(2, 2, product(A, B, 3)),
  },
  Gemm: {
    nodes: [node('Gemm', ['a', 'w', 'bias'], 'y', { alpha: { float: 2 }, beta: { float: 0.5 } })],
    inputs: [matrix(2, 3, A)],
    constants: { w: floats([3, 2], B), bias: floats([2], [8, -8]) },
    output: matrix(
      2,
      2,
      product(A, B, 3).map((value, index) => 2 * value + (index % 2 === 0 ? 4 : -4)),
    ),
  },
  Softmax: {
    nodes: [node('Softmax', ['a'], 'y', { axis: 1 })],
    inputs: [matrix(2, 3, [1, 2, 3, 3, 2, 1])],
    output: matrix(
      2,
      3,
      [...EXPONENTIALS, ...EXPONENTIALS.toReversed()].map((value) => value / sum(EXPONENTIALS)),
    ),
  },
  Concat: {
    nodes: [node('Concat', ['a', 'b'], 'y', { axis: 1 })],
    inputs: [matrix(2, 1, [1, 2]), matrix(2, 2, [3, 4, 5, 6])],
    output: matrix(2, 3, [1, 3, 4, 2, 5, 6]),
  },
  Reshape: {
    nodes: [node('Reshape', ['a', 'shape'], 'y')],
    inputs: [matrix(2, 3, A)],
    constants: { shape: integers(3, -1) },
    output: matrix(3, 2, A),
  },
  Transpose: {
    nodes: [node('Transpose', ['a'], 'y', { perm: [1, 0] })],
    inputs: [matrix(2, 3, [1, 2, 3, 4, 5, 6])],
    output: matrix(3, 2, [1, 4, 2, 5, 3, 6]),
  },
  Gather: {
    nodes: [node('Gather', ['a', 'b'], 'y', { axis: 0 })],
    inputs: [matrix(3, 2, B), { shape: [2], data: [2, 0], datatype: 'INT64' }],
    output: matrix(2, 2, [...B.slice(4), ...B.slice(0, 2)]),
  },
  Slice: {
    nodes: [node('Slice', ['a', 'from', 'to', 'axis'], 'y')],
    inputs: [matrix(2, 3, A)],
    constants: { from: integers(1), to: integers(3), axis: integers(1) },
    output: matrix(2, 2, [...A.slice(1, 3), ...A.slice(4, 6)]),
  },
  Conv: {
    nodes: [node('Conv', ['a', 'w'], 'y', { kernel_shape: [2, 2] })],
    inputs: [{ shape: [1, 1, 4, 4], data: IMAGE }],
    constants: { w: floats([1, 1, 2, 2], KERNEL) },
    output: {
      shape: [1, 1, 3, 3],
      data: squares(IMAGE, 4, 2, 1, (square) =>
        sum(square.map((pixel, at) => pixel * (KERNEL[at] ?? 0))),
      ),
    },
  },
  MaxPool: {
    nodes: [node('MaxPool', ['a'], 'y', { kernel_shape: [2, 2], strides: [2, 2] })],
    inputs: [{ shape: [1, 1, 4, 4], data: IMAGE }],
    output: {
      shape: [1, 1, 2, 2],
      data: squares(IMAGE, 4, 2, 2, (square) => Math.max(...square)),
    },
  },
  AveragePool: {
    nodes: [node('AveragePool', ['a'], 'y', { kernel_shape: [2, 2] })],
    inputs: [{ shape: [1, 1, 4, 4], data: IMAGE }],
    output: { shape: [1, 1, 3, 3], data: squares(IMAGE, 4, 2, 1, (square) => sum(square) / 4) },
  },
  Cast: {
    nodes: [node('Cast', ['a'], 'y', { to: 6 })],
    inputs: [matrix(2, 3, A)],
    output: { shape: [2, 3], data: A.map(Math.trunc), datatype: 'INT32' },
  },
  Where: {
    nodes: [node('Where', ['a', 'b', 'c'], 'y')],
    inputs: [
      { shape: [3], data: [true, false, true], datatype: 'BOOL' },
      vector(1, 2, 3),
      vector(-1, -2, -3),
    ],
    output: vector(1, -2, 3),
  },
  ArgMax: {
    nodes: [node('ArgMax', ['a'], 'y', { axis: 1, keepdims: 0 })],
    inputs: [matrix(2, 3, A)],
    output: { shape: [2], data: [2, 1], datatype: 'INT64' },
  },
  'a layer of three operators': {
    nodes: [
      node('MatMul', ['a', 'w'], 'm'),
      node('Add', ['m', 'bias'], 's'),
      node('Relu', ['s'], 'y'),
    ],
    inputs: [matrix(2, 3, A)],
    constants: { w: floats([3, 2], B), bias: floats([2], [1, -1]) },
    output: matrix(
      2,
      2,
      product(A, B, 3).map((value, index) => Math.max(value + (index % 2 === 0 ? 1 : -1), 0)),
    ),
  },
}
