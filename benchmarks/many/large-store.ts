/** B16: the start of a server with a large store whose models load on demand. */
import { gather } from '../benchmark.ts'
import type { Benchmark } from '../benchmark.ts'
import { cpuMs, residentMib, startServer } from '../server.ts'
import { SMALL_BODY, goodPredict, temporaryFolder, writeStore } from './made-models.ts'

const COUNT = 5000

export const largeStore: Benchmark = {
  id: 'B16',
  title: `start with a store of ${COUNT} small models that load on demand`,
  missing: () => undefined,
  run: async ({ cli, rounds }) => {
    const { folder, remove } = temporaryFolder()
    try {
      writeStore(folder, COUNT)
      const of = await gather(rounds, async () => {
        const from = performance.now()
        const args = ['--model-store', folder, '--load', 'on-demand', '--workers', '1']
        const server = await startServer(cli, [...args, '--threads', '1'])
        try {
          const seconds = (performance.now() - from) / 1000
          const cpu = cpuMs(server.pid) / 1000
          const mib = residentMib(server.pid)
          const cold = await goodPredict(server.inference, `m${COUNT}`, SMALL_BODY)
          return { seconds, cpu, mib, cold }
        } finally {
          await server.stop()
        }
      })
      return [
        { what: 'command to ready', unit: 's', rounds: of('seconds'), goal: { atMost: 3 } },
        { what: 'CPU time of the front-end until then', unit: 's', rounds: of('cpu') },
        {
          what: 'resident memory of the front-end when it is ready',
          unit: 'MiB',
          rounds: of('mib'),
          goal: { atMost: 150 },
        },
        { what: 'first request to one of the models', unit: 'ms', rounds: of('cold') },
      ]
    } finally {
      remove()
    }
  },
}
