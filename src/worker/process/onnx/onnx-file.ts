/** Looks up in a `.onnx` file what onnxruntime-node does not tell: which inputs have no shape. */
import { closeSync, openSync, readSync } from 'node:fs'

/**
 * Field numbers of `ModelProto`, `GraphProto`, `ValueInfoProto`, `TypeProto` and
 * `TypeProto.Tensor`.
 */
const GRAPH = 7
const INPUT = 11
const NAME = 1
const TYPE = 2
const TENSOR_TYPE = 1
const SHAPE = 2

const VARINT = 0
const FIXED_64 = 1
const BYTES = 2
const FIXED_32 = 5
const WINDOW_BYTES = 64 * 1024
/** A description of an input that is longer than this is not one. */
const MAX_VALUE_BYTES = 1024 * 1024

/**
 * Names of the graph's inputs that declare no shape, which onnxruntime shows as it shows scalars.
 * Weights are skipped, not read. Finds nothing in a file that it cannot read: onnxruntime has
 * loaded the file already.
 */
export function inputsWithoutShape(file: string): ReadonlySet<string> {
  const found = new Set<string>()
  const source = new FileWindow(file)
  try {
    for (const graph of fieldsOf(source, 0, Number.POSITIVE_INFINITY)) {
      if (graph.field !== GRAPH) continue
      for (const { field, start, end } of fieldsOf(source, graph.start, graph.end)) {
        if (field !== INPUT || end - start > MAX_VALUE_BYTES) continue
        const name = nameWithoutShape(source.read(start, end))
        if (name !== undefined) found.add(name)
      }
    }
  } finally {
    source.close()
  }
  return found
}

/** The name in a `ValueInfoProto` of a tensor without a shape. */
function nameWithoutShape(value: Buffer): string | undefined {
  const type = memberOf(value, TYPE)
  const tensor = type && memberOf(type, TENSOR_TYPE)
  if (tensor === undefined || memberOf(tensor, SHAPE) !== undefined) return undefined
  return memberOf(value, NAME)?.toString()
}

function memberOf(message: Buffer, wanted: number): Buffer | undefined {
  const source: Source = { byteAt: (at) => message[at] }
  for (const { field, start, end } of fieldsOf(source, 0, message.length)) {
    if (field === wanted) return message.subarray(start, end)
  }
  return undefined
}

interface Source {
  /** `undefined` behind the end. */
  byteAt(at: number): number | undefined
}

/**
 * The fields of one message that have bytes; the others are passed over. Ends at the first that is
 * damaged.
 */
function* fieldsOf(
  source: Source,
  from: number,
  end: number,
): Generator<{ readonly field: number; readonly start: number; readonly end: number }> {
  const cursor = { at: from }
  while (cursor.at < end) {
    const tag = readVarint(source, cursor)
    if (tag === undefined) return
    const wire = tag % 8
    if (wire === VARINT) {
      if (readVarint(source, cursor) === undefined) return
      continue
    }
    const size =
      wire === BYTES
        ? readVarint(source, cursor)
        : wire === FIXED_64
          ? 8
          : wire === FIXED_32
            ? 4
            : undefined
    if (size === undefined || cursor.at + size > end) return
    const start = cursor.at
    cursor.at += size
    if (wire === BYTES) yield { field: (tag - wire) / 8, start, end: cursor.at }
  }
}

function readVarint(source: Source, cursor: { at: number }): number | undefined {
  let value = 0
  for (let factor = 1, bytes = 0; bytes < 10; factor *= 128, bytes++) {
    const byte = source.byteAt(cursor.at++)
    if (byte === undefined) return undefined
    value += (byte % 128) * factor
    if (byte < 128) return value
  }
  return undefined
}

/** Reads a file piece by piece. */
class FileWindow implements Source {
  readonly #descriptor: number
  readonly #bytes = Buffer.alloc(WINDOW_BYTES)
  #start = 0
  #length = 0

  constructor(file: string) {
    this.#descriptor = openSync(file, 'r')
  }

  byteAt(at: number): number | undefined {
    if (!Number.isSafeInteger(at)) return undefined
    if (at < this.#start || at >= this.#start + this.#length) {
      this.#start = at
      this.#length = readSync(this.#descriptor, this.#bytes, 0, WINDOW_BYTES, at)
    }
    return at < this.#start + this.#length ? this.#bytes[at - this.#start] : undefined
  }

  read(start: number, end: number): Buffer {
    const bytes = Buffer.alloc(end - start)
    return bytes.subarray(0, readSync(this.#descriptor, bytes, 0, bytes.length, start))
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
