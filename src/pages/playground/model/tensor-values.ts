/** Values of the input tensors: in a grid of cells, as JSON, or generated. */
import { JsonProblem, parseExact } from '../request/exact-json.ts'
import type { Tensor } from './description.ts'

/** What the user has entered for one tensor. */
export type TensorValue =
  | { readonly kind: 'grid'; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'json'; readonly text: string }
  | { readonly kind: 'generated'; readonly fill: Fill; readonly sizes: readonly number[] }

/** How a large tensor is filled. */
export type Fill = (typeof FILLS)[number]
export const FILLS = ['random', 'zeros', 'ones'] as const

/** How a tensor is entered. */
export interface GridForm {
  readonly columns: number
  /** Whether rows can be added and removed. */
  readonly hasOpenRows: boolean
  /** Whether the grid is one row for a tensor with one dimension. */
  readonly isList: boolean
  /** Whether the tensor has no dimension, so that the value is the only cell. */
  readonly isScalar: boolean
}

const MAX_GRID_COLUMNS = 32
const MAX_GRID_ROWS = 16
/** A larger tensor is generated: the browser would be slow with its text. */
export const MAX_JSON_ELEMENTS = 2048
/** More rows are better sent as a file. */
export const MAX_ROWS = 200

/** The grid for a tensor; `undefined` for a tensor with too many cells or dimensions. */
export function gridOf({ shape }: Pick<Tensor, 'shape'>): GridForm | undefined {
  const [first, second] = shape
  const form = { hasOpenRows: false, isList: false, isScalar: false }
  if (first === undefined) return { ...form, columns: 1, isScalar: true }
  if (shape.length > 2) return undefined
  if (second === undefined) {
    if (first < 0) return { ...form, columns: 1, hasOpenRows: true, isList: true }
    return isBetween(first, MAX_GRID_COLUMNS)
      ? { ...form, columns: first, isList: true }
      : undefined
  }
  if (!isBetween(second, MAX_GRID_COLUMNS)) return undefined
  if (first < 0) return { ...form, columns: second, hasOpenRows: true }
  return isBetween(first, MAX_GRID_ROWS) ? { ...form, columns: second } : undefined
}

function isBetween(size: number, most: number): boolean {
  return size >= 1 && size <= most
}

/** A value to begin with. Each open size is 1. */
export function initialValue(tensor: Tensor): TensorValue {
  const sizes = tensor.shape.map((size) => (size < 0 ? 1 : size))
  const cell = exampleCell(tensor.datatype)
  const grid = gridOf(tensor)
  if (grid !== undefined) {
    const rows = grid.isList || grid.hasOpenRows ? 1 : (sizes[0] ?? 1)
    return { kind: 'grid', rows: Array.from({ length: rows }, () => newRow(grid, tensor)) }
  }
  const elements = sizes.reduce((product, size) => product * size, 1)
  if (elements > MAX_JSON_ELEMENTS) return { kind: 'generated', fill: 'random', sizes }
  return { kind: 'json', text: nested(sizes, () => cellJson(cell, tensor.datatype)) }
}

/** A row of a grid, filled with an example. */
export function newRow({ columns }: GridForm, { datatype }: Tensor): string[] {
  return Array.from({ length: columns }, () => exampleCell(datatype))
}

function exampleCell(datatype: string): string {
  if (datatype === 'BOOL') return 'true'
  if (datatype === 'BYTES') return 'text'
  return datatype.startsWith('FP') || datatype === 'BF16' ? '0.5' : '1'
}

/**
 * The JSON of a tensor.
 * @throws JsonProblem if the user's JSON is not valid.
 */
export function tensorJson(tensor: Tensor, value: TensorValue): string {
  switch (value.kind) {
    case 'grid':
      return gridJson(tensor, value.rows)
    case 'json':
      parseExact(value.text)
      return value.text.trim()
    case 'generated':
      return nested(value.sizes, elementsOf(tensor.datatype, value.fill))
  }
}

/** Says what is wrong with a value before it is sent; `undefined` if nothing is. */
export function tensorProblem(tensor: Tensor, value: TensorValue): string | undefined {
  try {
    if (value.kind === 'json') tensorJson(tensor, value)
    return undefined
  } catch (error) {
    if (error instanceof JsonProblem) return error.message
    throw error
  }
}

/** The body of a request with a value for each input. */
export function tensorBody(inputs: readonly Tensor[], values: readonly TensorValue[]): string {
  const members = inputs.map((tensor, index) => {
    const value = values[index] ?? initialValue(tensor)
    return `${JSON.stringify(tensor.name)}: ${tensorJson(tensor, value)}`
  })
  return `{${members.join(', ')}}`
}

function gridJson(tensor: Tensor, rows: readonly (readonly string[])[]): string {
  const grid = gridOf(tensor)
  const cells = rows.map((row) => row.map((cell) => cellJson(cell, tensor.datatype)))
  if (grid?.isScalar === true) return cells[0]?.[0] ?? 'null'
  const lists = cells.map((row) => `[${row.join(', ')}]`)
  return grid?.isList === true ? `[${cells.flat().join(', ')}]` : `[${lists.join(', ')}]`
}

const NUMBER = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|-?Infinity|NaN)$/

/** What is not a value of the datatype goes to the server as a text. Its error is shown. */
function cellJson(cell: string, datatype: string): string {
  const text = cell.trim()
  if (datatype === 'BYTES') return JSON.stringify(cell)
  if (text === '') return 'null'
  const isRight = datatype === 'BOOL' ? /^(?:true|false|0|1)$/.test(text) : NUMBER.test(text)
  return isRight ? text : JSON.stringify(text)
}

function elementsOf(datatype: string, fill: Fill): () => string {
  if (fill !== 'random') {
    const isOne = fill === 'ones'
    const words: Readonly<Record<string, string>> = {
      BOOL: String(isOne),
      BYTES: isOne ? '"1"' : '""',
    }
    return () => words[datatype] ?? (isOne ? '1' : '0')
  }
  if (datatype === 'BOOL') return () => String(Math.random() < 0.5)
  if (datatype === 'BYTES') return () => JSON.stringify(Math.random().toString(36).slice(2, 8))
  if (datatype.startsWith('FP') || datatype === 'BF16') return () => Math.random().toFixed(3)
  return () => String(Math.floor(Math.random() * 100))
}

/** Nested lists of these sizes. */
function nested(sizes: readonly number[], element: () => string): string {
  const [size, ...inner] = sizes
  if (size === undefined) return element()
  return `[${Array.from({ length: size }, () => nested(inner, element)).join(', ')}]`
}
