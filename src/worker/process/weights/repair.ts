/**
 * Repairs two faults in a model file that onnxruntime 1.30 has written:
 *
 * - Files of ONNX's older versions list weights as inputs too. When onnxruntime packs such a
 *   weight, it removes the weight and keeps the input, which every request would then have to
 *   bring.
 * - It writes the weights of subgraphs (`If`, `Loop`) twice, in the file and outside, and rejects
 *   such a file.
 */
import { FileProblem } from './digest.ts'

/** Field numbers of `ModelProto` and `GraphProto`. */
const GRAPH = 7
const NODE = 1
const INITIALIZER = 5
const INPUT = 11
/** Field numbers of `NodeProto` and `AttributeProto` on the path to subgraphs. */
const ATTRIBUTE = 5
const SUBGRAPHS: ReadonlySet<number> = new Set([6, 11])
/** Field numbers of `ValueInfoProto` and `TensorProto`. */
const VALUE_NAME = 1
const TENSOR_NAME = 8
const DATA_LOCATION = 14
/** Deeper graphs are left as they are; onnxruntime then decides. */
const MAX_DEPTH = 50

/** Types of fields. */
const VARINT = 0
const FIXED_64 = 1
const BYTES = 2
const FIXED_32 = 5

interface Field {
  readonly number: number
  /** All bytes of the field, and those of its value. */
  readonly whole: Buffer
  readonly value: Buffer
  readonly isBytes: boolean
}

/**
 * Returns the model without inputs that have neither a name of `kept` nor a weight, and without
 * second copies of weights; `undefined` if it has none of those.
 * @throws FileProblem if the bytes are not a model.
 */
export function repairModel(model: Buffer, kept: ReadonlySet<string>): Buffer | undefined {
  return replace(model, ({ number, value }) =>
    number === GRAPH ? withoutStaleInputs(withoutCopies(value, 0), kept) : value,
  )
}

function withoutStaleInputs(graph: Buffer, kept: ReadonlySet<string>): Buffer {
  const weights = new Set(namesOf(graph, INITIALIZER, TENSOR_NAME))
  const isStale = ({ number, value }: Field): boolean => {
    const name = number === INPUT ? textIn(value, VALUE_NAME) : undefined
    return name !== undefined && !kept.has(name) && !weights.has(name)
  }
  return replace(graph, (field) => (isStale(field) ? undefined : field.value)) ?? graph
}

/** Drops a weight in the file if the same one is outside, in this graph and in its subgraphs. */
function withoutCopies(graph: Buffer, depth: number): Buffer {
  if (depth > MAX_DEPTH) return graph
  const outside = new Set<string>()
  for (const { number, value } of fieldsOf(graph)) {
    const name = number === INITIALIZER && isOutside(value) ? textIn(value, TENSOR_NAME) : undefined
    if (name !== undefined) outside.add(name)
  }
  const repaired = replace(graph, ({ number, value }) => {
    if (number === NODE) return withoutCopiesInNode(value, depth)
    if (number !== INITIALIZER || isOutside(value)) return value
    return outside.has(textIn(value, TENSOR_NAME) ?? '') ? undefined : value
  })
  return repaired ?? graph
}

function withoutCopiesInNode(node: Buffer, depth: number): Buffer {
  const repaired = replace(node, (field) => {
    if (field.number !== ATTRIBUTE) return field.value
    return (
      replace(field.value, ({ number, value }) =>
        SUBGRAPHS.has(number) ? withoutCopies(value, depth + 1) : value,
      ) ?? field.value
    )
  })
  return repaired ?? node
}

/** Whether the data of a `TensorProto` are in another file. */
function isOutside(tensor: Buffer): boolean {
  return [...fieldsOf(tensor)].some(({ number }) => number === DATA_LOCATION)
}

function namesOf(message: Buffer, number: number, name: number): (string | undefined)[] {
  return [...fieldsOf(message)]
    .filter((field) => field.number === number)
    .map(({ value }) => textIn(value, name))
}

/**
 * Replaces values of a message by those that `change` returns; `undefined` drops a field.
 * @returns `undefined` if every value stays.
 */
function replace(
  message: Buffer,
  change: (field: Field) => Buffer | undefined,
): Buffer | undefined {
  let isChanged = false
  const parts: Buffer[] = []
  for (const field of fieldsOf(message)) {
    const value = field.isBytes ? change(field) : field.value
    if (value === field.value) parts.push(field.whole)
    else isChanged = true
    if (value === undefined || value === field.value) continue
    parts.push(varint(field.number * 8 + BYTES), varint(value.length), value)
  }
  return isChanged ? Buffer.concat(parts) : undefined
}

function textIn(message: Buffer, number: number): string | undefined {
  for (const field of fieldsOf(message)) {
    if (field.number === number) return field.value.toString('utf8')
  }
  return undefined
}

function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0
  while (at < message.length) {
    const start = at
    const tag = readVarint(message, at)
    at = tag.end
    let from = at
    switch (tag.value % 8) {
      case VARINT:
        at = readVarint(message, at).end
        break
      case FIXED_64:
        at += 8
        break
      case FIXED_32:
        at += 4
        break
      case BYTES: {
        const length = readVarint(message, at)
        from = length.end
        at = length.end + length.value
        break
      }
      default:
        throw new FileProblem('The written file is not a model.')
    }
    if (at > message.length) throw new FileProblem('The written file is not a model.')
    yield {
      number: Math.floor(tag.value / 8),
      whole: message.subarray(start, at),
      value: message.subarray(from, at),
      isBytes: tag.value % 8 === BYTES,
    }
  }
}

/** Exact up to 2^53. */
function readVarint(bytes: Buffer, at: number): { value: number; end: number } {
  let value = 0
  for (let index = 0; index < 10; index += 1) {
    const byte = bytes[at + index]
    if (byte === undefined) break
    value += (byte & 127) * 2 ** (7 * index)
    if (byte < 128) return { value, end: at + index + 1 }
  }
  throw new FileProblem('The written file is not a model.')
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}
