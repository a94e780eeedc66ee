/**
 * B21: CPU time of the front-end for a small request, without a model: its worker responds at once.
 * It is compared with a bare Fastify server that echoes the same body. CPU time changes less than
 * throughput when other programs use the machine.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { OCTETS, floats, missingModels, modelFile } from '../bench-models.ts'
import { gather } from '../benchmark.ts'
import type { Benchmark } from '../benchmark.ts'
import { startEcho } from '../echo-process.ts'
import { goodLoop } from '../load.ts'
import { cpuMs, startServer } from '../server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 784
const CONNECTIONS = [1, 8, 32, 64] as const
/** After so many requests, the JIT compiler has optimized the code that is measured. */
const WARM_UP_REQUESTS = 20_000
const FAKE_WORKER = new URL('./fake-worker.js', import.meta.url)

export const frontEndAlone: Benchmark = {
  id: 'B21',
  title: 'mnist, CPU time of the front-end for a request, with a worker that responds at once',
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const folder = withFakeWorker(path.dirname(path.resolve(cli)))
    const echo = await startEcho()
    const args = ['--workers', '1', '--threads', '1', modelFile(MODEL)]
    const server = await startServer(path.join(folder, 'dist', path.basename(cli)), args)
    try {
      const usOfRequest = async (url: string, pid: number, connections: number) => {
        const request = { url, body: floats(INPUT_FLOATS), headers: OCTETS }
        const before = cpuMs(pid)
        const { rate } = await goodLoop(request, { connections, seconds })
        return ((cpuMs(pid) - before) * 1000) / (rate * seconds)
      }
      const round = async (): Promise<Record<string, number>> => {
        const figures: Record<string, number> = {}
        for (const count of CONNECTIONS) {
          const url = `${server.inference}/predictions/mnist`
          const relay = await usOfRequest(url, server.pid, count)
          const echoed = await usOfRequest(echo.url, echo.pid, count)
          figures[`relay ${count}`] = relay
          figures[`ratio ${count}`] = relay / echoed
        }
        return figures
      }
      await warmUp(`${server.inference}/predictions/mnist`, seconds)
      await warmUp(echo.url, seconds)
      const of = await gather(rounds, round)
      return CONNECTIONS.flatMap((count) => [
        {
          what: `over the bare Fastify echo, ${count} connections`,
          unit: '×',
          rounds: of(`ratio ${count}`),
          ...(count === 32 && { goal: { atMost: 1.4 } }),
        },
        { what: `front-end, ${count} connections`, unit: 'µs', rounds: of(`relay ${count}`) },
      ])
    } finally {
      echo.stop()
      await server.stop()
      rmSync(folder, { recursive: true })
    }
  },
}

async function warmUp(url: string, seconds: number): Promise<void> {
  const request = { url, body: floats(INPUT_FLOATS), headers: OCTETS }
  for (let count = 0; count < WARM_UP_REQUESTS;) {
    const { rate } = await goodLoop(request, { connections: 32, seconds })
    count += rate * seconds
  }
}

/** Copies a program and replaces its worker. Returns the folder above the copy. */
function withFakeWorker(dist: string): string {
  const root = path.dirname(dist)
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
  cpSync(dist, path.join(folder, 'dist'), { recursive: true })
  for (const name of ['node_modules', 'package.json'])
    symlinkSync(path.join(root, name), path.join(folder, name))
  const worker = path.join(folder, 'dist', 'worker', 'process', 'main.js')
  writeFileSync(worker, `import ${JSON.stringify(FAKE_WORKER.href)}\n`)
  return folder
}
