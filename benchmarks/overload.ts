/** B9: five times as many requests as can be served, sent at a fixed pace whatever comes back. */
import autocannon from 'autocannon'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { goodLoop } from './load.ts'
import { startServer } from './server.ts'

const MODEL = 'mlp_big.onnx'
const INPUT_FLOATS = 784
const OVERLOAD = 5
const QUEUE = 32
const CONNECTIONS = 256

export const overload: Benchmark = {
  id: 'B9',
  title: `mlp_big, ${OVERLOAD} times saturation at a fixed pace, ${QUEUE} may wait, 1 worker with 1 thread`,
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const args = ['--workers', '1', '--threads', '1', '--queue-size', String(QUEUE)]
    const server = await startServer(cli, [...args, modelFile(MODEL)])
    const url = `${server.inference}/predictions/mlp_big`
    const body = floats(INPUT_FLOATS)
    try {
      const of = await gather(rounds, async () => {
        const peak = await goodLoop({ url, body, headers: OCTETS }, { connections: 16, seconds })
        const flood = await autocannon({
          url,
          method: 'POST',
          body,
          headers: OCTETS,
          connections: CONNECTIONS,
          overallRate: Math.round(peak.rate * OVERLOAD),
          duration: seconds,
          timeout: 30,
          // Of refusals the latency is not measured.
          excludeErrorStats: true,
        })
        return {
          share: flood['2xx'] / flood.duration / peak.rate,
          refused: flood.non2xx / flood.requests.total,
          lost: flood.errors,
          p99: flood.latency.p99,
          bound: ((QUEUE + 2) / peak.rate) * 1000,
        }
      })
      return [
        {
          what: 'good answers over the peak',
          unit: '',
          rounds: of('share'),
          goal: { atLeast: 0.95 },
        },
        { what: 'connections that failed', unit: '', rounds: of('lost'), goal: { atMost: 0 } },
        { what: 'share that was refused', unit: '', rounds: of('refused') },
        { what: 'p99 of what was answered', unit: 'ms', rounds: of('p99') },
        { what: 'time that a full queue takes', unit: 'ms', rounds: of('bound') },
      ]
    } finally {
      await server.stop()
    }
  },
}
