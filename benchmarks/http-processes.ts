/**
 * B20: several HTTP processes in front of a small model: throughput, how evenly the requests are
 * divided, and memory. The number of workers is the same for each number of processes.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark, Figure } from './benchmark.ts'
import { goodLoop } from './load.ts'
import { cpuMs, memoryOf, startServer } from './server.ts'
import type { BenchServer } from './server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 784
const CONNECTIONS = 64
const COUNTS = [1, 2, 4] as const
const WORKERS = 4
/** With fewer cores, the client, the workers and the HTTP processes wait for each other. */
const CORES_FOR_GOALS = 16

type Count = (typeof COUNTS)[number]

interface Measured {
  readonly rate: number
  /** CPU time of the least busy HTTP process, as a part of that of the busiest. */
  readonly balance: number
  /** Private memory of each further process, in MiB. */
  readonly furtherMib: number
}

export const httpProcesses: Benchmark = {
  id: 'B20',
  title: `mnist, ${CONNECTIONS} connections, ${WORKERS} workers, several HTTP processes`,
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const servers = new Map<Count, BenchServer>()
    try {
      for (const count of COUNTS) {
        const flags = ['--http-processes', String(count), '--workers', String(WORKERS)]
        servers.set(count, await startServer(cli, [...flags, '--threads', '1', modelFile(MODEL)]))
      }
      const round = async (): Promise<Record<`${keyof Measured}${Count}`, number>> => {
        const results: Record<string, number> = {}
        for (const [count, server] of servers) {
          for (const [name, value] of Object.entries(await measure(server, seconds)))
            results[`${name}${count}`] = value
        }
        return results
      }
      // Warm-up: only code that the JIT compiler has optimized is measured.
      await round()
      const of = await gather(rounds, round)
      const over = (count: 2 | 4): number[] =>
        of(`rate${count}`).map((rate, index) => rate / (of('rate1')[index] ?? Number.NaN))
      const isLarge = availableParallelism() >= CORES_FOR_GOALS
      const goal = (atLeast: number): Pick<Figure, 'goal'> => (isLarge ? { goal: { atLeast } } : {})
      return [
        ...COUNTS.map((count) => ({
          what: count === 1 ? '1 process' : `${count} processes`,
          unit: 'requests/s',
          rounds: of(`rate${count}`),
        })),
        { what: '2 processes over 1', unit: '×', rounds: over(2), ...goal(1.8) },
        { what: '4 processes over 1', unit: '×', rounds: over(4), ...goal(3.2) },
        { what: 'least over most busy of 2', unit: '×', rounds: of('balance2') },
        { what: 'least over most busy of 4', unit: '×', rounds: of('balance4') },
        { what: 'own memory of a further one', unit: 'MiB', rounds: of('furtherMib2') },
      ]
    } finally {
      for (const server of servers.values()) await server.stop()
    }
  },
}

async function measure(server: BenchServer, seconds: number): Promise<Measured> {
  const url = `${server.inference}/predictions/mnist`
  const further = server.workers().filter(isHttpProcess)
  const pids = [server.pid, ...further]
  const before = pids.map(cpuMs)
  const request = { url, body: floats(INPUT_FLOATS), headers: OCTETS }
  const { rate } = await goodLoop(request, { connections: CONNECTIONS, seconds })
  const used = pids.map((pid, index) => cpuMs(pid) - (before[index] ?? 0))
  const memory = further.map((pid) => memoryOf(pid).own)
  return {
    rate,
    balance: Math.min(...used) / Math.max(...used),
    furtherMib: memory.reduce((sum, mib) => sum + mib, 0) / further.length,
  }
}

function isHttpProcess(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('shards/main.js')
}
