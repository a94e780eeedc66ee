/** B8: time from the command to the first response, and the memory of both processes. */
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { residentMib, startServer } from './server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 784

export const coldStart: Benchmark = {
  id: 'B8',
  title: 'mnist, cold start to the first answer',
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds }) => {
    const of = await gather(rounds, async () => {
      const startedAt = performance.now()
      const server = await startServer(cli, ['--workers', '1', modelFile(MODEL)])
      try {
        const answer = await fetch(`${server.inference}/predictions/mnist`, {
          method: 'POST',
          headers: OCTETS,
          body: floats(INPUT_FLOATS),
        })
        if (!answer.ok) throw new Error(`status ${answer.status}`)
        await answer.arrayBuffer()
        const ms = performance.now() - startedAt
        const [worker = 0] = server.workers()
        return { ms, frontEnd: residentMib(server.pid), worker: residentMib(worker) }
      } finally {
        await server.stop()
      }
    })
    return [
      { what: 'command to first answer', unit: 'ms', rounds: of('ms'), goal: { atMost: 600 } },
      {
        what: 'resident memory of the front-end',
        unit: 'MiB',
        rounds: of('frontEnd'),
        goal: { atMost: 110 },
      },
      {
        what: 'resident memory of the worker',
        unit: 'MiB',
        rounds: of('worker'),
        goal: { atMost: 90 },
      },
    ]
  },
}
