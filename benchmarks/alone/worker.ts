/**
 * B19: CPU time of the worker for a small request, without a front-end: this process writes the
 * frames. It is compared with the bare run of the model, measured in the same way.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { READY_LINE } from '../../src/contract/worker-lines.ts'
import { Connection } from '../../src/worker/host/connection.ts'
import { encodeLoad, encodePredict } from '../../src/worker/wire/encode.ts'
import { DEFAULT_WIRE_LIMITS, NO_GPU } from '../../src/worker/wire/messages.ts'
import type { WireRequest, WorkerReply } from '../../src/worker/wire/messages.ts'
import { bareLoop } from '../bare-loop.ts'
import { OCTETS, floats, missingModels, modelFile } from '../bench-models.ts'
import { gather } from '../benchmark.ts'
import type { Benchmark } from '../benchmark.ts'
import { cpuMs } from '../server.ts'

const MODEL = 'mnist.onnx'
const INPUT_FLOATS = 784
/** The most batches that the front-end sends to a worker in advance. */
const DEPTH = 8
const REQUEST: WireRequest = {
  id: '1234567',
  headers: Object.entries({ Host: '127.0.0.1:8080', ...OCTETS }),
  parameters: [{ name: 'body', contentType: OCTETS['content-type'], value: floats(INPUT_FLOATS) }],
}

export const workerAlone: Benchmark = {
  id: 'B19',
  title: 'mnist, CPU time of the worker for a request, with frames that are written at once',
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const worker = await startWorker(cli)
    try {
      const usOfRequest = async (depth: number): Promise<number> => {
        const before = cpuMs(worker.pid)
        const count = await drive(worker.connection, depth, seconds)
        return ((cpuMs(worker.pid) - before) * 1000) / count
      }
      const round = async (): Promise<Record<'ratio' | 'queued' | 'woken' | 'bare', number>> => {
        const { cpuUs } = await bareLoop(modelFile(MODEL), seconds)
        const queued = await usOfRequest(DEPTH)
        return { ratio: queued / cpuUs, queued, woken: await usOfRequest(1), bare: cpuUs }
      }
      // Warm-up: only code that the JIT compiler has optimized is measured.
      await round()
      const of = await gather(rounds, round)
      const goal = { atMost: 1.5 }
      return [
        { what: `over the bare run, ${DEPTH} frames ahead`, unit: '×', rounds: of('ratio'), goal },
        { what: `worker, ${DEPTH} frames ahead`, unit: 'µs', rounds: of('queued') },
        { what: 'worker, one frame at a time', unit: 'µs', rounds: of('woken') },
        { what: 'bare run', unit: 'µs', rounds: of('bare') },
      ]
    } finally {
      await worker.stop()
    }
  },
}

/** Keeps `depth` frames at the worker for some seconds. Returns the number of replies. */
async function drive(connection: Connection, depth: number, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000
  const frame = encodePredict([REQUEST])
  let count = 0
  await new Promise<void>((resolve, reject) => {
    const send = (): void =>
      connection.send(frame, {
        resolve: ({ predictions: [response] }) => {
          if (response?.status !== 200) return reject(new Error('the worker reported an error'))
          count += 1
          if (performance.now() < end) send()
          else if (connection.inFlight === 0) resolve()
        },
        reject,
      })
    for (let index = 0; index < depth; index++) send()
  })
  return count
}

interface RunningWorker {
  readonly pid: number
  readonly connection: Connection
  stop(): Promise<void>
}

/** Starts the worker of the program that `cli` belongs to, and loads the model. */
async function startWorker(cli: string): Promise<RunningWorker> {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
  const socketPath = path.join(folder, 'w.sock')
  const main = path.join(path.dirname(path.resolve(cli)), 'worker', 'process', 'main.js')
  const child = spawn(process.execPath, [main, '--sock-type', 'unix', '--sock-name', socketPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ONNXD_WORKER_ONCE: '1' },
  })
  const kill = (): boolean => child.kill('SIGKILL')
  process.once('exit', kill)
  for await (const line of createInterface(child.stdout)) if (line === READY_LINE) break
  const connection = await Connection.open({ path: socketPath }, DEFAULT_WIRE_LIMITS, DEPTH)
  const load = {
    command: 'load',
    modelName: 'mnist',
    modelPath: modelFile(MODEL),
    batchSize: 1,
    handler: 'onnx',
    gpu: NO_GPU,
    ioDescriptor: '',
    envelope: '',
    limitMaxImagePixels: true,
  } as const
  const reply = await new Promise<WorkerReply>((resolve, reject) =>
    connection.send(encodeLoad(load, 'mms'), { resolve, reject }),
  )
  if (reply.code !== 200) throw new Error(reply.message)
  return {
    pid: child.pid ?? 0,
    connection,
    stop: async () => {
      process.off('exit', kill)
      const exited = once(child, 'exit')
      connection.destroy()
      await exited
      rmSync(folder, { recursive: true })
    },
  }
}
