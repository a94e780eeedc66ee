/**
 * The least that a worker process costs: another Node process reads a body from a Unix socket, runs
 * the model and writes 40 bytes. It waits for each body, so each of its runs begins with a wake-up.
 *
 *     node build/benchmarks/bare-worker.js MODEL BODY_BYTES SECONDS
 *
 * Prints round trips per second and the median time of a round trip in milliseconds.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { openBare } from './bare-session.ts'
import { timedLoop } from './timed-loop.ts'

const ANSWER = Buffer.alloc(40)

const [file = '', bodyBytes = '1', seconds = '1', socketPath] = process.argv.slice(2)
if (socketPath === undefined) await measure()
else await work(socketPath)

async function measure(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
  const address = path.join(folder, 'w.sock')
  const worker = fork(fileURLToPath(import.meta.url), [file, bodyBytes, seconds, address])
  try {
    await once(worker, 'message')
    const socket = connect(address)
    const body = Buffer.alloc(Number(bodyBytes))
    const roundTrip = (): Promise<void> => {
      const answered = untilBytes(socket, ANSWER.length)
      socket.write(body)
      return answered
    }
    console.log(JSON.stringify(await timedLoop(Number(seconds), roundTrip)))
    socket.destroy()
  } finally {
    worker.kill()
    rmSync(folder, { recursive: true })
  }
}

async function work(address: string): Promise<void> {
  const run = await openBare(file, 1)
  const respond = async (socket: Socket): Promise<never> => {
    for (;;) {
      await untilBytes(socket, Number(bodyBytes))
      await run()
      socket.write(ANSWER)
    }
  }
  const server = createServer((socket) => {
    socket.on('error', () => {})
    void respond(socket)
  })
  server.listen(address, () => process.send?.('ready'))
}

/** Waits until so many bytes have arrived. */
function untilBytes(socket: Socket, wanted: number): Promise<void> {
  return new Promise((resolve) => {
    let count = 0
    const take = (chunk: Buffer): void => {
      count += chunk.length
      if (count < wanted) return
      socket.off('data', take)
      resolve()
    }
    socket.on('data', take)
  })
}
