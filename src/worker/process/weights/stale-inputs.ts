/**
 * Repairs a model file that onnxruntime has written. Files of ONNX's older versions list weights as
 * inputs too. When onnxruntime packs such a weight, it removes the weight and keeps the input,
 * which every request would then have to bring.
 */
import { FileProblem } from './digest.ts'

/** Field numbers of `ModelProto`, `GraphProto`, `ValueInfoProto` and `TensorProto`. */
const GRAPH = 7
const INITIALIZER = 5
const INPUT = 11
const VALUE_NAME = 1
const TENSOR_NAME = 8

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
}

/**
 * Returns the model without inputs that have neither a name of `kept` nor a weight; `undefined` if
 * it has none of those.
 * @throws FileProblem if the bytes are not a model.
 */
export function withoutStaleInputs(model: Buffer, kept: ReadonlySet<string>): Buffer | undefined {
  let isChanged = false
  const parts = [...fieldsOf(model)].map((field) => {
    if (field.number !== GRAPH) return field.whole
    const graph = [...fieldsOf(field.value)]
    const weights = new Set(
      graph
        .filter(({ number }) => number === INITIALIZER)
        .map(({ value }) => textIn(value, TENSOR_NAME)),
    )
    const rest = graph.filter(({ number, value }) => {
      const name = number === INPUT ? textIn(value, VALUE_NAME) : undefined
      return name === undefined || kept.has(name) || weights.has(name)
    })
    if (rest.length === graph.length) return field.whole
    isChanged = true
    const bytes = Buffer.concat(rest.map(({ whole }) => whole))
    return Buffer.concat([varint(GRAPH * 8 + BYTES), varint(bytes.length), bytes])
  })
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
