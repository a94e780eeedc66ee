/** B10: the cost of models that are loaded but not used. */
import { freemem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather, median } from './benchmark.ts'
import type { Benchmark, Figure, Plan } from './benchmark.ts'
import { goodLoop } from './load.ts'
import { cpuMs, memoryOf, residentMib, startServer } from './server.ts'
import type { BenchServer } from './server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 784
const CONNECTIONS = 8
const COUNTS = [1, 10, 100]
/** Share of the free memory that idle workers may use. */
const MEMORY_SHARE = 0.5
const START_TIMEOUT_MS = 150_000
const IDLE_SECONDS = 3

/** A server with `count` models. Requests go to the last one. */
interface Site {
  readonly count: number
  readonly server: BenchServer
}

export const manyModels: Benchmark = {
  id: 'B10',
  title: `mnist under ${COUNTS.join(', ')} names, one in use, ${CONNECTIONS} connections, 1 worker with 1 thread each`,
  missing: () => missingModels(MODEL),
  run: async (plan) => {
    const sites: Site[] = []
    try {
      // All servers run at the same time, so that the rounds can alternate between them. The cost
      // of the idle ones is measured too.
      for (const count of COUNTS) {
        const fits = fitting(count, sites, plan)
        if (fits <= (sites.at(-1)?.count ?? 0)) break
        sites.push(await startSite(plan, fits))
      }
      const memory = memoryFigures(sites)
      const idle = await idleCost(sites)
      return [...(await throughput(plan, sites)), ...memory, ...idle]
    } finally {
      await Promise.all(sites.map(({ server }) => server.stop()))
    }
  },
}

/**
 * Returns `count`, or fewer if memory is short. The estimate uses the memory of a running worker.
 */
function fitting(count: number, [first]: readonly Site[], { note }: Plan): number {
  const [worker] = first?.server.workers() ?? []
  if (worker === undefined) return count
  const free = freemem() / 2 ** 20
  const most = Math.floor((free * MEMORY_SHARE) / residentMib(worker))
  if (most < count) note(`${most} models instead of ${count}: ${free.toFixed(0)} MiB are free`)
  return Math.min(count, most)
}

async function startSite({ cli, note }: Plan, count: number): Promise<Site> {
  const file = modelFile(MODEL)
  const models = Array.from({ length: count }, (_, index) => `m${index + 1}=${file}`)
  const startedAt = performance.now()
  const args = ['--workers', '1', '--threads', '1', ...models]
  const server = await startServer(cli, args, { timeoutMs: START_TIMEOUT_MS })
  const seconds = (performance.now() - startedAt) / 1000
  note(`${modelsText(count)} ready after ${seconds.toFixed(1)} s`)
  return { count, server }
}

/** Measures the rates in turns. Those of the other servers are compared with that of the first. */
async function throughput({ rounds, seconds }: Plan, sites: readonly Site[]): Promise<Figure[]> {
  const rateOf = async ({ count, server }: Site, duration: number): Promise<number> => {
    const request = {
      url: `${server.inference}/predictions/m${count}`,
      body: floats(INPUT_FLOATS),
      headers: OCTETS,
    }
    const { rate } = await goodLoop(request, { connections: CONNECTIONS, seconds: duration })
    return rate
  }
  // Warm-up: only code that the JIT compiler has optimized is measured.
  for (const site of sites) await rateOf(site, seconds)
  const of = await gather(rounds, async () => {
    const rates: Record<string, number> = {}
    for (const site of sites) rates[site.count] = await rateOf(site, seconds)
    return rates
  })
  const [alone, ...others] = sites.map(({ count }) => ({ count, rates: of(String(count)) }))
  if (alone === undefined) return []
  return [
    ...others.map(({ count, rates }) => ({
      what: `throughput with ${modelsText(count)} over that with ${modelsText(alone.count)}`,
      unit: '',
      rounds: rates.map((rate, round) => rate / (alone.rates[round] ?? Number.NaN)),
      goal: { atLeast: 0.95 },
    })),
    { what: `requests a second with ${modelsText(alone.count)}`, unit: '/s', rounds: alone.rates },
  ]
}

/** Memory of processes before their first request. For workers it is the median. */
function memoryFigures(sites: readonly Site[]): Figure[] {
  const figure = (what: string, mib: number): Figure => ({ what, unit: 'MiB', rounds: [mib] })
  const all = sites.flatMap(({ server }) => server.workers())
  return [
    ...sites.flatMap(({ count, server }) => [
      figure(
        `resident memory of an idle worker, ${modelsText(count)}`,
        median(server.workers().map(residentMib)),
      ),
      figure(`resident memory of the front-end, ${modelsText(count)}`, residentMib(server.pid)),
    ]),
    figure(
      `an idle worker, shared pages divided by those of ${all.length}`,
      median(all.map((pid) => memoryOf(pid).proportional)),
    ),
  ]
}

/** CPU time of servers without requests. */
async function idleCost(sites: readonly Site[]): Promise<Figure[]> {
  const used = ({ server }: Site): number =>
    [server.pid, ...server.workers()].reduce((sum, pid) => sum + cpuMs(pid), 0)
  const before = sites.map(used)
  await sleep(IDLE_SECONDS * 1000)
  return sites.map((site, index) => ({
    what: `processor time of idle processes, ${modelsText(site.count)}`,
    unit: 'ms/s',
    rounds: [(used(site) - (before[index] ?? 0)) / IDLE_SECONDS],
  }))
}

function modelsText(count: number): string {
  return count === 1 ? '1 model' : `${count} models`
}
