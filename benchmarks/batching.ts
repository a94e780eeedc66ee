/** B5: dynamic batching of waiting requests, without a delay. */
import { bareLoop } from './bare-loop.ts'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { goodLoop } from './load.ts'
import type { LoadResult } from './load.ts'
import { startServer } from './server.ts'
import type { BenchServer } from './server.ts'

const MODEL = 'mlp_big.onnx'
const INPUT_FLOATS = 784
const BATCH = 32
/** Too few connections to fill a batch. */
const FEW = 8
/** Two clients that wait for each other's batch: the workload that a learned delay is for. */
const PAIR = 2

export const batches: Benchmark = {
  id: 'B5',
  title: `mlp_big, 64 connections, batches of up to ${BATCH} without delay, 1 worker with 1 thread`,
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const file = modelFile(MODEL)
    const args = ['--workers', '1', '--threads', '1', file]
    const single = await startServer(cli, args)
    const inBatches = ['--batch-size', String(BATCH), ...args]
    const batched = await startServer(cli, inBatches)
    const learning = await startServer(cli, ['--max-batch-delay', 'auto', ...inBatches])
    try {
      const load = (server: BenchServer, connections: number): Promise<LoadResult> =>
        goodLoop(
          {
            url: `${server.inference}/predictions/mlp_big`,
            body: floats(INPUT_FLOATS),
            headers: OCTETS,
          },
          { connections, seconds },
        )
      const of = await gather(rounds, async () => {
        const bare = await bareLoop(file, seconds, BATCH)
        const one = await load(single, 64)
        const many = await load(batched, 64)
        const alone = await load(single, 1)
        const aloneBatched = await load(batched, 1)
        const few = await load(batched, FEW)
        const fewLearning = await load(learning, FEW)
        const pair = await load(batched, PAIR)
        const pairLearning = await load(learning, PAIR)
        return {
          gain: many.rate / one.rate,
          share: many.rate / (bare.rate * BATCH),
          cost: aloneBatched.p50 / alone.p50,
          learned: fewLearning.rate / few.rate,
          learnedPair: pairLearning.rate / pair.rate,
          rate: many.rate,
          p99: many.p99,
        }
      })
      return [
        {
          what: 'throughput over batches of 1',
          unit: '×',
          rounds: of('gain'),
          goal: { atLeast: 8.8 },
        },
        {
          what: 'share of the bare batched loop',
          unit: '',
          rounds: of('share'),
          goal: { atLeast: 0.82 },
        },
        {
          what: 'p50 of 1 connection over that of batches of 1',
          unit: '×',
          rounds: of('cost'),
          goal: { atMost: 1.05 },
        },
        {
          what: `throughput of ${FEW} connections with \`auto\` delay over none`,
          unit: '×',
          rounds: of('learned'),
        },
        {
          what: `throughput of ${PAIR} connections with \`auto\` delay over none`,
          unit: '×',
          rounds: of('learnedPair'),
          goal: { atLeast: 1.1 },
        },
        { what: 'requests a second', unit: '/s', rounds: of('rate') },
        { what: 'p99', unit: 'ms', rounds: of('p99') },
      ]
    } finally {
      await Promise.all([single, batched, learning].map((server) => server.stop()))
    }
  },
}
