/** B1 and B2: a model whose run takes less time than the processing of its request. */
import { bareLoop, bareWorker } from './bare-loop.ts'
import type { BareResult } from './bare-loop.ts'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { startEcho } from './echo-process.ts'
import { goodLoop } from './load.ts'
import type { Request } from './load.ts'
import { startServer } from './server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 28 * 28
const ONE_WORKER = ['--workers', '1', '--threads', '1']

export const oneClient: Benchmark = {
  id: 'B1',
  title: 'mnist, raw bytes, 1 connection',
  missing: () => missingModels(MODEL),
  run: async (plan) => {
    const echo = await startEcho()
    try {
      const of = await besideBare(plan, async (request, bare) => {
        const { seconds } = plan
        const worker = await bareWorker(modelFile(MODEL), request.body.length, seconds)
        const echoed = await goodLoop({ ...request, url: echo.url }, { connections: 1, seconds })
        const { p50 } = await goodLoop(request, { connections: 1, seconds })
        return {
          added: (p50 - bare.p50) * 1000,
          overParts: p50 / (echoed.p50 + worker.p50),
          request: p50 * 1000,
          bare: bare.p50 * 1000,
          echo: echoed.p50 * 1000,
          worker: worker.p50 * 1000,
        }
      })
      return [
        {
          what: 'p50 over an echo plus a round trip to a bare worker',
          unit: '×',
          rounds: of('overParts'),
          goal: { atMost: 1 },
        },
        {
          what: 'p50 added to the bare run',
          unit: 'µs',
          rounds: of('added'),
          goal: { atMost: 130 },
        },
        { what: 'p50 of a request', unit: 'µs', rounds: of('request') },
        { what: 'p50 of the bare run', unit: 'µs', rounds: of('bare') },
        { what: 'p50 of a Fastify echo', unit: 'µs', rounds: of('echo') },
        { what: 'p50 of a round trip to a bare worker', unit: 'µs', rounds: of('worker') },
      ]
    } finally {
      echo.stop()
    }
  },
}

export const manyClients: Benchmark = {
  id: 'B2',
  title: 'mnist, raw bytes, 64 connections, 1 worker with 1 thread, access log and metrics on',
  missing: () => missingModels(MODEL),
  run: async (plan) => {
    const of = await besideBare(plan, async (request, bare) => {
      const { seconds } = plan
      const { rate, p99 } = await goodLoop(request, { connections: 64, seconds })
      const eight = await goodLoop(request, { connections: 8, seconds })
      return {
        share: rate / bare.rate,
        p99,
        rate,
        bareRate: bare.rate,
        share8: eight.rate / bare.rate,
        p99of8: eight.p99,
      }
    })
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

/** Starts the server and warms it up. Then each round is a bare loop, followed by `round`. */
async function besideBare<Name extends string>(
  { cli, rounds, seconds }: Plan,
  round: (request: Request, bare: BareResult) => Promise<Record<Name, number>>,
): Promise<(name: Name) => number[]> {
  const file = modelFile(MODEL)
  const server = await startServer(cli, [...ONE_WORKER, file])
  try {
    const request = {
      url: `${server.inference}/predictions/mnist`,
      body: floats(INPUT_FLOATS),
      headers: OCTETS,
    }
    await goodLoop(request, { connections: 64, seconds })
    return await gather(rounds, async () => round(request, await bareLoop(file, seconds)))
  } finally {
    await server.stop()
  }
}
