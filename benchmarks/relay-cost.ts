/**
 * B11: CPU time of the front-end for each request that it relays, compared with a bare Fastify
 * server that echoes the same body.
 */
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { startEcho } from './echo-process.ts'
import { goodLoop } from './load.ts'
import { cpuMs, startServer } from './server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 784
const CONNECTIONS = 64

export const relayCost: Benchmark = {
  id: 'B11',
  title: 'mnist, 64 connections, CPU time of the front-end for a request',
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const echo = await startEcho()
    const server = await startServer(cli, ['--workers', '1', '--threads', '1', modelFile(MODEL)])
    try {
      const usOfRequest = async (url: string, pid: number): Promise<number> => {
        const request = { url, body: floats(INPUT_FLOATS), headers: OCTETS }
        const before = cpuMs(pid)
        const { rate } = await goodLoop(request, { connections: CONNECTIONS, seconds })
        return ((cpuMs(pid) - before) * 1000) / (rate * seconds)
      }
      const round = async (): Promise<Record<'relay' | 'echo' | 'added', number>> => {
        const relay = await usOfRequest(`${server.inference}/predictions/mnist`, server.pid)
        const echoed = await usOfRequest(echo.url, echo.pid)
        return { relay, echo: echoed, added: relay - echoed }
      }
      // Warm-up: only code that the JIT compiler has optimized is measured.
      await round()
      const of = await gather(rounds, round)
      return [
        { what: 'more than the echo', unit: 'µs', rounds: of('added'), goal: { atMost: 60 } },
        { what: 'front-end', unit: 'µs', rounds: of('relay') },
        { what: 'bare Fastify echo', unit: 'µs', rounds: of('echo') },
      ]
    } finally {
      echo.stop()
      await server.stop()
    }
  },
}
