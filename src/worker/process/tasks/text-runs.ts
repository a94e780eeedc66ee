/**
 * Runs a model on texts, also on those of several requests: similar lengths together, with a limit
 * for the memory of a run.
 */
import { ServerError } from '../../../errors.ts'
import type { RunModel } from '../onnx/codec.ts'
import { halfToNumber } from '../onnx/tensors/half.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Tensor } from '../onnx/tensors/tensor.ts'
import type { Encoded, Encoder } from './encoder.ts'
import type { Work } from './requests/text-request.ts'

/** Numbers of all outputs of one run, at most: 128 MB. */
const MAX_ELEMENTS = 32 * 1024 * 1024
/** A run is at most so many times as long as its shortest text: more would be mostly padding. */
const MAX_STRETCH = 2
/** Texts up to this length share a run in any case: one more run would cost more than padding. */
const SHORT_TOKENS = 32
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
  /** Whether texts of different requests may. */
  readonly joinsRequests: boolean
  /** Maximum number of tokens in a run, with padding. */
  readonly maxBatchTokens: number
}

/** The texts of one request. */
export interface TextJob {
  readonly texts: readonly Encoded[]
  readonly outputs: readonly TensorSpec[]
  readonly model: RunModel
  readonly work: Work
  /** Called for each text with one row for each output. */
  readonly visit: (index: number, rows: readonly Row[]) => void
}

interface Waiting extends TextJob {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Item {
  readonly job: Waiting
  readonly index: number
  readonly text: Encoded
}

export class TextRuns {
  readonly #limits: RunLimits
  #waiting: Waiting[] = []

  constructor(limits: RunLimits) {
    this.#limits = limits
  }

  /**
   * Resolves when all texts have run. The requests of a batch are decoded one after the other
   * without a pause, so the runs begin when all their texts are known.
   */
  run(job: TextJob): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) queueMicrotask(() => this.#runAll())
      this.#waiting.push({ ...job, resolve, reject })
    })
  }

  #runAll(): void {
    const jobs = this.#waiting
    this.#waiting = []
    if (this.#limits.joinsRequests) this.#runJobs(jobs)
    else for (const job of jobs) this.#runJobs([job])
  }

  /** All tasks of a model read the same outputs. */
  #runJobs(jobs: readonly Waiting[]): void {
    const failed = new Set<Waiting>()
    const fail = (job: Waiting, error: unknown): void => {
      failed.add(job)
      job.reject(error)
    }
    const items = jobs.flatMap((job) => job.texts.map((text, index) => ({ job, index, text })))
    const order = items.toSorted((one, other) => one.text.ids.length - other.text.ids.length)
    for (const group of this.#groups(order)) {
      this.#runGroup(
        group.filter(({ job }) => !failed.has(job)),
        fail,
      )
    }
    for (const job of jobs) if (!failed.has(job)) job.resolve()
  }

  #runGroup(group: readonly Item[], fail: (job: Waiting, error: unknown) => void): void {
    const [first] = group
    if (first === undefined) return
    const { encoder } = this.#limits
    const { outputs: specs, model } = first.job
    const members = group.map(({ text }) => text)
    const fixed = encoder.fixedBatch ?? members.length
    // A model with a fixed batch size gets the first text again in the places that are left.
    while (members.length < fixed) members.push(first.text)
    let outputs: readonly Tensor[]
    try {
      outputs = model(
        encoder.batch(members),
        specs.map(({ name }) => name),
      )
    } catch (error) {
      const jobs = new Set(group.map(({ job }) => job))
      if (jobs.size === 1) return fail(first.job, error)
      // Only the request that causes the error gets it.
      for (const one of jobs) {
        this.#runGroup(
          group.filter(({ job }) => job === one),
          fail,
        )
      }
      return
    }
    const longest = encoder.fixedLength ?? members.at(group.length - 1)?.ids.length ?? 0
    const broken = new Set<Waiting>()
    for (const [row, { job, index, text }] of group.entries()) {
      if (broken.has(job)) continue
      job.work.tokens += text.ids.length
      job.work.padding += longest - text.ids.length
      try {
        job.visit(
          index,
          outputs.map((output) => rowOf(output, row, text.ids.length)),
        )
      } catch (error) {
        broken.add(job)
        fail(job, error)
      }
    }
  }

  *#groups(order: readonly Item[]): Iterable<readonly Item[]> {
    const { encoder, joins } = this.#limits
    const limit = encoder.fixedBatch ?? (joins ? Infinity : 1)
    const maxTokens = this.#maxTokens(order[0]?.job.outputs ?? [])
    let group: Item[] = []
    for (const item of order) {
      // The texts come in ascending length, so this one decides the length of the run.
      const length = encoder.fixedLength ?? item.text.ids.length
      const tokens = (group.length + 1) * length
      const shortest = encoder.fixedLength ?? group[0]?.text.ids.length ?? 0
      const isStretched = length > Math.max(MAX_STRETCH * shortest, SHORT_TOKENS)
      if (group.length > 0 && (group.length >= limit || tokens > maxTokens || isStretched)) {
        yield group
        group = []
      }
      group.push(item)
    }
    if (group.length > 0) yield group
  }

  #maxTokens(outputs: readonly TensorSpec[]): number {
    const perToken = outputs.reduce((sum, { shape }) => {
      const last = shape.at(-1) ?? 1
      return sum + (last < 0 ? UNKNOWN_SIZE : last)
    }, 0)
    return Math.min(this.#limits.maxBatchTokens, Math.floor(MAX_ELEMENTS / Math.max(perToken, 1)))
  }
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
