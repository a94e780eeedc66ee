import type { NamedTensor } from '../../onnx/oip/named-tensors.ts'
/** Texts as tensors of strings, and the results of tasks as tensors. */
import { elementToText } from '../../onnx/tensors/byte-strings.ts'
import { quote } from '../../onnx/tensors/error-text.ts'
import type { TensorSpec } from '../../onnx/tensors/metadata.ts'
import type { Tensor } from '../../onnx/tensors/tensor.ts'
import { isFields, listOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
import { badRequest } from '../requests/text-request.ts'

/** Members of a request that are one text. */
const SINGLE = ['query', 'source_sentence']
/** Members of a request that are lists of texts. */
const LISTS = ['texts', 'sentences', 'candidate_labels', 'targets']
/** Lists of which the entries with the same index belong together. */
const TOGETHER = ['text', 'text_pair', 'question', 'context']

/** Members of results that are whole numbers. */
const COUNTS = ['index', 'start', 'end', 'token']

/** The inputs that requests may have. A task rejects those that it does not know. */
export const TEXT_INPUTS: readonly TensorSpec[] = [...TOGETHER, ...SINGLE, ...LISTS].map((name) => {
  return { name, datatype: 'BYTES', shape: [], dimensions: [], anyShape: true }
})

/**
 * Returns the request of a task.
 * @throws ServerError 400
 */
export function fieldsOfTensors(tensors: readonly NamedTensor[], parameters: Fields): Fields {
  const texts = new Map(tensors.map(({ name, tensor }) => [name, textsOf(name, tensor)]))
  const fields: Record<string, unknown> = { ...parameters }
  for (const name of SINGLE) {
    const [text, ...others] = texts.get(name) ?? []
    if (others.length > 0) throw badRequest(`Input ${quote(name)} must have one element.`)
    if (text !== undefined) fields[name] = text
  }
  for (const name of LISTS) if (texts.has(name)) fields[name] = texts.get(name)
  const together = TOGETHER.filter((name) => texts.has(name))
  const [first] = together
  if (first === undefined) return fields
  const count = texts.get(first)?.length ?? 0
  const other = together.find((name) => texts.get(name)?.length !== count)
  if (other !== undefined) {
    throw badRequest(`The inputs ${quote(first)} and ${quote(other)} differ in their length.`)
  }
  fields['inputs'] = Array.from({ length: count }, (_, index) =>
    together.length === 1 && first === 'text'
      ? texts.get(first)?.[index]
      : Object.fromEntries(together.map((name) => [name, texts.get(name)?.[index]])),
  )
  return fields
}

/**
 * Returns the result of a task as tensors with the texts as their first dimension. A result of
 * another form than these has only `result`, which every response may have: the JSON of each text.
 *
 * - a vector for each text: `embedding` FP32 [N, width]
 * - a number for each text: `score` FP32 [N]
 * - an object of numbers and texts for each text: a tensor [N] for each member
 * - a list of such objects for each text: a tensor [N, K] for each member
 *
 * @param isRagged Whether the lists of a task differ in length from text to text.
 */
export function tensorsOfResult(
  result: unknown,
  isRagged: boolean,
): {
  readonly preferred: readonly NamedTensor[]
  readonly all: readonly NamedTensor[]
} {
  const rows = listOf(result)
  const json: NamedTensor = {
    name: 'result',
    tensor: bytes(
      [rows.length],
      rows.map((row) => JSON.stringify(row)),
    ),
  }
  const typed = typedTensors(rows, isRagged)
  return { preferred: typed.length > 0 ? typed : [json], all: [...typed, json] }
}

function typedTensors(rows: readonly unknown[], isRagged: boolean): readonly NamedTensor[] {
  if (rows.length > 0 && rows.every(isNumber))
    return [{ name: 'score', tensor: floats([rows.length], rows) }]
  if (isRagged) return columns(rows.filter(isFields), [rows.length])
  const lists = rows.map((row) => (Array.isArray(row) ? (row as unknown[]) : labelsOf(row)))
  const width = lists[0]?.length ?? 0
  const isEven = width > 0 && lists.every((list) => list?.length === width)
  const flat = isEven ? lists.flatMap((list) => list ?? []) : []
  if (isEven && flat.every(isNumber)) {
    return [{ name: 'embedding', tensor: floats([rows.length, width], flat) }]
  }
  if (isEven) return columns(flat.filter(isFields), [rows.length, width])
  return columns(rows.filter(isFields), [rows.length])
}

/** A result `{labels, scores}` as a list of `{label, score}`. */
function labelsOf(row: unknown): readonly unknown[] | undefined {
  if (!isFields(row) || !Array.isArray(row['labels'])) return undefined
  const scores = listOf(row['scores'])
  return row['labels'].map((label: unknown, index) => ({ label, score: scores[index] }))
}

/** A tensor for each member; none if the objects differ, or have other values. */
function columns(rows: readonly Fields[], shape: readonly number[]): readonly NamedTensor[] {
  const [first] = rows
  if (first === undefined || rows.length !== shape.reduce((all, size) => all * size, 1)) return []
  const names = Object.keys(first)
  if (rows.some((row) => Object.keys(row).join() !== names.join())) return []
  const found = names.map((name): NamedTensor | undefined => {
    const values = rows.map((row) => row[name])
    if (values.every((value): value is string => typeof value === 'string')) {
      return { name, tensor: bytes(shape, values) }
    }
    if (!values.every(isNumber)) return undefined
    return { name, tensor: COUNTS.includes(name) ? integers(shape, values) : floats(shape, values) }
  })
  const all = found.filter((tensor) => tensor !== undefined)
  return all.length === names.length ? all : []
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number'
}

function floats(shape: readonly number[], values: readonly number[]): Tensor {
  return { datatype: 'FP32', shape, data: Float32Array.from(values) }
}

function integers(shape: readonly number[], values: readonly number[]): Tensor {
  return { datatype: 'INT64', shape, data: BigInt64Array.from(values, BigInt) }
}

function bytes(shape: readonly number[], data: string[]): Tensor {
  return { datatype: 'BYTES', shape, data }
}

function textsOf(name: string, { data }: Tensor): readonly string[] {
  return [...data].map((element) => {
    const text = typeof element === 'string' ? elementToText(element) : undefined
    if (text === undefined) throw badRequest(`Input ${quote(name)} is not valid UTF-8.`)
    return text
  })
}
