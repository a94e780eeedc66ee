/** B1 and B2: a model whose run takes less time than the processing of its request. */
import { bareLoop } from './bare-loop.ts'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { goodLoop } from './load.ts'
import type { LoadResult } from './load.ts'
import { startServer } from './server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 28 * 28
const ONE_WORKER = ['--workers', '1', '--threads', '1']

export const oneClient: Benchmark = {
  id: 'B1',
  title: 'mnist, raw bytes, 1 connection',
  missing: () => missingModels(MODEL),
  run: async (plan) => {
    const of = await besideBare(plan, 1)
    return [
      {
        what: 'p50 added to the bare run',
        unit: 'µs',
        rounds: of('addedUs'),
        goal: { atMost: 130 },
      },
      { what: 'p50 of a request', unit: 'µs', rounds: of('p50Us') },
      { what: 'p50 of the bare run', unit: 'µs', rounds: of('bareUs') },
    ]
  },
}

export const manyClients: Benchmark = {
  id: 'B2',
  title: 'mnist, raw bytes, 64 connections, 1 worker with 1 thread, access log and metrics on',
  missing: () => missingModels(MODEL),
  run: async (plan) => {
    const of = await besideBare(plan, 64)
    return [
      { what: 'share of the bare loop', unit: '', rounds: of('share'), goal: { atLeast: 0.8 } },
      { what: 'p99', unit: 'ms', rounds: of('p99'), goal: { atMost: 8 } },
      { what: 'requests a second', unit: '/s', rounds: of('rate') },
      { what: 'bare runs a second', unit: '/s', rounds: of('bareRate') },
      { what: 'share of the bare loop, 8 connections', unit: '', rounds: of('share8') },
      { what: 'p99, 8 connections', unit: 'ms', rounds: of('p99of8') },
    ]
  },
}

type Name =
  | 'addedUs'
  | 'p50Us'
  | 'bareUs'
  | 'share'
  | 'p99'
  | 'rate'
  | 'bareRate'
  | 'share8'
  | 'p99of8'

/** Measures the bare loop and the server in turns. */
async function besideBare(
  { cli, rounds, seconds }: Plan,
  connections: number,
): Promise<(name: Name) => number[]> {
  const file = modelFile(MODEL)
  const server = await startServer(cli, [...ONE_WORKER, file])
  try {
    const request = {
      url: `${server.inference}/predictions/mnist`,
      body: floats(INPUT_FLOATS),
      headers: OCTETS,
    }
    const load = (count: number): Promise<LoadResult> =>
      goodLoop(request, { connections: count, seconds })
    await load(connections)
    return await gather(rounds, async () => {
      const bare = await bareLoop(file, seconds)
      const { rate, p50, p99 } = await load(connections)
      const eight = connections > 8 ? await load(8) : undefined
      return {
        addedUs: (p50 - bare.p50) * 1000,
        p50Us: p50 * 1000,
        bareUs: bare.p50 * 1000,
        share: rate / bare.rate,
        p99,
        rate,
        bareRate: bare.rate,
        share8: (eight?.rate ?? Number.NaN) / bare.rate,
        p99of8: eight?.p99 ?? Number.NaN,
      }
    })
  } finally {
    await server.stop()
  }
}
