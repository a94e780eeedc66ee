/** B9: five times as many requests as the server can handle, at a fixed rate. */
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { goodLoop } from './load.ts'
import { openLoop } from './open-loop.ts'
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
        const rate = peak.rate * OVERLOAD
        const load = { url, body, headers: OCTETS, connections: CONNECTIONS }
        const flood = await openLoop({ ...load, rate, seconds })
        const good = flood.statuses.get(200) ?? 0
        return {
          share: good / seconds / peak.rate,
          refused: (flood.statuses.get(503) ?? 0) / flood.sent,
          lost: flood.lost,
          p99: flood.goodMs[Math.floor(good * 0.99)] ?? Number.NaN,
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
