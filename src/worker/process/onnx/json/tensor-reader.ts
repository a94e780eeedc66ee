import { ServerError } from '../../../../errors.ts'
import { countText, quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { elementCount } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { ElementSink } from './element-sink.ts'
import { FloatSink } from './float-sink.ts'
import { NarrowIntegerSink, WideIntegerSink } from './integer-sink.ts'
import type { JsonReader } from './reader.ts'
import { BooleanSink, TextSink } from './text-sink.ts'

const UNKNOWN = -1

/**
 * Reads nested arrays, or a bare scalar, as elements of the input's datatype. The shape is that of
 * the nesting (`[]` is `[0]`, `[[],[]]` is `[2,0]`); the caller compares it with the model's shape.
 * @throws ServerError 400 when the arrays are ragged or the datatype cannot hold an element.
 */
export function readTensor(reader: JsonReader, spec: TensorSpec): Tensor {
  const sink = createSink(spec, roomFor(spec, reader))
  const nesting = new Nesting(spec.name)
  do {
    if (reader.isArray()) {
      nesting.open(sink.length > 0)
      if (reader.openArray()) continue
    } else {
      nesting.expectElements(reader)
      const before = sink.length
      sink.read(reader, nesting.depth > 0)
      nesting.count(sink.length - before)
      if (nesting.depth === 0 || reader.nextElement()) continue
    }
    do nesting.close()
    while (nesting.depth > 0 && !reader.nextElement())
  } while (nesting.depth > 0)
  return sink.toTensor(nesting.shape)
}

/** Computes the shape of nested arrays while they are read. */
class Nesting {
  /** Length of the arrays at each depth; {@link UNKNOWN} until the first of them has ended. */
  readonly shape: number[] = []
  /** Number of elements so far in each open array. */
  readonly #counts: number[] = []
  readonly #input: string

  constructor(input: string) {
    this.#input = input
  }

  get depth(): number {
    return this.#counts.length
  }

  open(hasElements: boolean): void {
    if (this.depth === this.shape.length) {
      if (hasElements) throw this.#ragged('found an array where other rows have elements')
      this.shape.push(UNKNOWN)
    }
    this.#counts.push(0)
  }

  count(elements: number): void {
    const last = this.depth - 1
    if (last >= 0) this.#counts[last] = (this.#counts[last] ?? 0) + elements
  }

  close(): void {
    const count = this.#counts.pop() ?? 0
    const before = this.shape[this.depth]
    if (before === UNKNOWN) this.shape[this.depth] = count
    else if (before !== count) {
      throw this.#ragged(`found ${countText(count, 'element')} where other rows have ${before}`)
    }
    this.count(1)
  }

  /** Checks that elements stand only in the deepest arrays. */
  expectElements(reader: JsonReader): void {
    if (this.depth < this.shape.length) {
      throw this.#ragged(`found ${reader.token()} where other rows have arrays`)
    }
  }

  #ragged(problem: string): ServerError {
    return new ServerError(
      'InvalidInputException',
      `Input ${quote(this.#input)}: the nested arrays are ragged: ${problem}.`,
    )
  }
}

/**
 * Number of elements to allocate: the expected number (with 1 for each variable dimension), but not
 * more than the remaining bytes can contain.
 */
function roomFor(spec: TensorSpec, reader: JsonReader): number {
  const expected = elementCount(spec.shape.map((dimension) => Math.max(dimension, 1)))
  const mostElements = Math.ceil((reader.bytes.length - reader.position) / 2)
  return Math.min(expected, mostElements)
}

function createSink(spec: TensorSpec, room: number): ElementSink {
  const { datatype, name } = spec
  switch (datatype) {
    case 'BYTES':
      return new TextSink(name)
    case 'BOOL':
      return new BooleanSink(name, room)
    case 'INT64':
    case 'UINT64':
      return new WideIntegerSink(name, datatype, room)
    case 'FP16':
    case 'FP32':
    case 'FP64':
      return new FloatSink(name, datatype, room)
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
    case 'INT8':
    case 'INT16':
    case 'INT32':
      return new NarrowIntegerSink(name, datatype, room)
  }
}
