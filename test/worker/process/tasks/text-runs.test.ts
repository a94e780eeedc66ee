/** Which texts of which requests share a run of the model. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Tensor } from '../../../../src/worker/process/onnx/tensors/tensor.ts'
import { Encoder } from '../../../../src/worker/process/tasks/encoder.ts'
import type { Encoded } from '../../../../src/worker/process/tasks/encoder.ts'
import { TextRuns } from '../../../../src/worker/process/tasks/text-runs.ts'
import type { RunLimits } from '../../../../src/worker/process/tasks/text-runs.ts'
import { Tokenizer } from '../../../../src/worker/process/tasks/tokenizer/tokenizer.ts'
import { tinyTokenizer } from '../../../helpers/text-models.ts'

const INPUT = {
  name: 'input_ids',
  datatype: 'INT64',
  shape: [-1, -1],
  dimensions: ['', ''],
} as const
const OUTPUT = { name: 'sum', datatype: 'FP32', shape: [-1, 1], dimensions: ['', ''] } as const
/** The model does not take texts that contain this id. */
const POISON = 9999

function textOf(ids: readonly number[]): Encoded {
  const zeros = ids.map(() => 0)
  return { ids, types: zeros, sequences: zeros, indices: zeros }
}

/** Runs jobs as the requests of one batch; returns the sums for each job, and the runs. */
async function runJobs(
  jobs: readonly (readonly Encoded[])[],
  limits: Partial<Omit<RunLimits, 'encoder'>> = {},
) {
  const encoder = new Encoder(new Tokenizer(tinyTokenizer()), [INPUT], {
    maxTokens: 10_000,
    padId: 0,
  })
  const runs: (readonly [rows: number, length: number])[] = []
  const model = ([ids]: readonly Tensor[]): readonly Tensor[] => {
    const [rows = 0, length = 0] = ids?.shape ?? []
    const data = Array.from(ids?.data as BigInt64Array, Number)
    if (data.includes(POISON)) throw new Error('poison')
    runs.push([rows, length])
    const sums = Array.from({ length: rows }, (_, row) =>
      data.slice(row * length, (row + 1) * length).reduce((sum, id) => sum + id, 0),
    )
    return [{ datatype: 'FP32', shape: [rows, 1], data: Float32Array.from(sums) }]
  }
  const all = { joins: true, joinsRequests: true, maxBatchTokens: 16_384, ...limits }
  const shared = new TextRuns({ encoder, ...all })
  const works = jobs.map(() => ({ tokens: 0, padding: 0 }))
  const results = await Promise.allSettled(
    jobs.map(async (texts, job) => {
      const sums: number[] = []
      await shared.run({
        texts,
        outputs: [OUTPUT],
        model,
        work: works[job] ?? { tokens: 0, padding: 0 },
        visit: (index, [row]) => {
          sums[index] = row?.data[0] ?? NaN
        },
      })
      return sums
    }),
  )
  return { results, runs, works }
}

test('each text gets its own result, and no run has more tokens than the limit', async () => {
  const texts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 8 })
  const jobs = fc.array(texts, { minLength: 1, maxLength: 5 })
  const limits = fc.record({ joins: fc.boolean(), joinsRequests: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(jobs, limits, fc.integer({ min: 1, max: 600 }), async (lengths, own, max) => {
      const encoded = lengths.map((job, at) =>
        job.map((length) => textOf(Array.from({ length }, (_, index) => index + at + 1))),
      )
      const joinsRequests = own.joins && own.joinsRequests
      const { results, runs, works } = await runJobs(encoded, {
        joins: own.joins,
        joinsRequests,
        maxBatchTokens: max,
      })
      const sums = encoded.map((job) => job.map(({ ids }) => ids.reduce((sum, id) => sum + id, 0)))
      assert.deepEqual(
        results.map((one) => one.status === 'fulfilled' && one.value),
        sums,
      )
      for (const [rows, length] of runs) assert.ok(rows === 1 || rows * length <= max)
      const total = runs.reduce((sum, [rows, length]) => sum + rows * length, 0)
      const all = works.reduce((sum, { tokens, padding }) => sum + tokens + padding, 0)
      assert.equal(all, total, 'every token of a run is counted')
      const count = lengths.flat().length
      if (!own.joins) assert.equal(runs.length, count)
      assert.equal(
        works.reduce((sum, { tokens }) => sum + tokens, 0),
        lengths.flat().reduce((sum, length) => sum + length, 0),
      )
    }),
    { numRuns: 300 },
  )
})

const ofLength = (length: number): Encoded => textOf(Array.from({ length }, () => 1))

test('requests share runs by length, and padding is counted', async () => {
  const jobs = [[ofLength(40), ofLength(100)], [ofLength(50)], [ofLength(110)]]
  const { runs, works } = await runJobs(jobs)
  assert.deepEqual(runs, [
    [2, 50],
    [2, 110],
  ])
  assert.deepEqual(works, [
    { tokens: 140, padding: 20 },
    { tokens: 50, padding: 0 },
    { tokens: 110, padding: 0 },
  ])
  const apart = await runJobs(jobs, { joinsRequests: false })
  assert.equal(apart.runs.length, 4)
  const short = await runJobs([[ofLength(2)], [ofLength(30)]])
  assert.deepEqual(short.runs, [[2, 30]], 'short texts share a run with any length')
})

test('a run that fails is repeated for each request: only its cause gets the error', async () => {
  const { results, runs } = await runJobs([
    [ofLength(5), ofLength(6)],
    [textOf([1, POISON, 1])],
    [ofLength(4)],
  ])
  assert.deepEqual(
    results.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))),
    [[5, 6], 'Error: poison', [4]],
  )
  assert.deepEqual(runs, [
    [1, 4],
    [2, 6],
  ])
})
