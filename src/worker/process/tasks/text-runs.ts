/** Runs a model on texts: similar lengths together, with a limit for the memory of a run. */
import { ServerError } from '../../../errors.ts'
import type { RunModel } from '../onnx/codec.ts'
import { halfToNumber } from '../onnx/tensors/half.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Tensor } from '../onnx/tensors/tensor.ts'
import type { Encoded, Encoder } from './encoder.ts'

/** Numbers of all outputs of one run, at most: 128 MB. */
const MAX_ELEMENTS = 32 * 1024 * 1024
/** Size of an open dimension, which the model does not state. */
const UNKNOWN_SIZE = 1024

/** The numbers of one output for one text, without padding of a token axis. */
export interface Row {
  readonly data: Float32Array | Float64Array
  /** Size of the last axis. */
  readonly width: number
}

/** What decides which texts share a run. */
export interface RunLimits {
  readonly encoder: Encoder
  /** Whether texts may share a run. */
  readonly joins: boolean
  /** Maximum number of tokens in a run, with padding. */
  readonly maxBatchTokens: number
}

export class TextRuns {
  readonly #encoder: Encoder
  readonly #outputs: readonly TensorSpec[]
  readonly #joins: boolean
  readonly #maxTokens: number

  constructor({ encoder, joins, maxBatchTokens }: RunLimits, outputs: readonly TensorSpec[]) {
    this.#encoder = encoder
    this.#outputs = outputs
    this.#joins = joins
    const perToken = outputs.reduce((sum, { shape }) => {
      const last = shape.at(-1) ?? 1
      return sum + (last < 0 ? UNKNOWN_SIZE : last)
    }, 0)
    this.#maxTokens = Math.min(maxBatchTokens, Math.floor(MAX_ELEMENTS / Math.max(perToken, 1)))
  }

  /** Calls `visit` for each text with one row for each output. */
  run(
    texts: readonly Encoded[],
    model: RunModel,
    visit: (index: number, rows: readonly Row[]) => void,
  ): void {
    const order = [...texts.keys()].toSorted(
      (one, other) => lengthOf(texts[one]) - lengthOf(texts[other]) || one - other,
    )
    const names = this.#outputs.map(({ name }) => name)
    for (const group of this.#groups(order, texts)) {
      const members = group.flatMap((index) => texts[index] ?? [])
      const fixed = this.#encoder.fixedBatch ?? members.length
      const [first] = members
      // A model with a fixed batch size gets the first text again in the places that are left.
      while (first !== undefined && members.length < fixed) members.push(first)
      const outputs = model(this.#encoder.batch(members), names)
      for (const [row, index] of group.entries()) {
        const length = lengthOf(texts[index])
        visit(
          index,
          outputs.map((output) => rowOf(output, row, length)),
        )
      }
    }
  }

  *#groups(order: readonly number[], texts: readonly Encoded[]): Iterable<readonly number[]> {
    const fixed = this.#encoder.fixedBatch
    const limit = fixed ?? (this.#joins ? Infinity : 1)
    let group: number[] = []
    for (const index of order) {
      // The texts come in ascending length, so this one decides the length of the run.
      const tokens = (group.length + 1) * lengthOf(texts[index])
      if (group.length > 0 && (group.length >= limit || tokens > this.#maxTokens)) {
        yield group
        group = []
      }
      group.push(index)
    }
    if (group.length > 0) yield group
  }
}

function lengthOf(text: Encoded | undefined): number {
  return text?.ids.length ?? 0
}

/** The part of an output that belongs to one text of the run. */
function rowOf({ shape, datatype, data }: Tensor, row: number, length: number): Row {
  const [rows = 1, ...rest] = shape
  const width = rest.at(-1) ?? 1
  const size = Math.floor(data.length / Math.max(rows, 1))
  // An output with a token axis, [texts, tokens, width], without the padding.
  const used = rest.length === 2 ? Math.min(length * width, size) : size
  const start = row * size
  if (data instanceof Float32Array || data instanceof Float64Array) {
    return { data: data.subarray(start, start + used), width }
  }
  if (datatype === 'FP16' && data instanceof Uint16Array) {
    return { data: Float32Array.from(data.subarray(start, start + used), halfToNumber), width }
  }
  throw new ServerError('InternalServerException', 'An output of the model is not float.')
}
