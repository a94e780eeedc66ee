/**
 * Random bodies from many clients at once through a model that echoes them: each byte must come back, and the
 * memory of both processes must stay where it is.
 *
 *     npm run soak                   64 clients, 60 seconds
 *     npm run soak -- --clients=8 --seconds=10
 */
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { residentMib, startServer } from './server.ts'

const LARGEST_BITS = 23
const SAMPLE_MS = 1000
/** Memory may be this much larger at the end than after the first third. */
const MAX_GROWTH = 1.3
const CLI = fileURLToPath(new URL('../src/cli.js', import.meta.url))
const SERVICE = `export const handle = (data) => data?.map(({ body }) => body)\n`

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '60' },
  },
})
const clients = Number(values.clients)
const seconds = Number(values.seconds)

const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-soak-'))
const model = writeEcho(path.join(folder, 'echo'))
const args = ['--allow-handlers', '--queue-size', String(clients), '--log-level', 'error']
const server = await startServer(CLI, [...args, model])
const url = `${server.inference}/predictions/echo`
const agent = new Agent({ keepAlive: true })
const bytes = randomBytes(2 ** LARGEST_BITS)
const memory: { frontEnd: number; worker: number }[] = []
let answers = 0
let gigabytes = 0

const sampling = setInterval(() => {
  const [worker] = server.workers()
  if (worker === undefined) return
  memory.push({ frontEnd: residentMib(server.pid), worker: residentMib(worker) })
}, SAMPLE_MS)
try {
  const end = performance.now() + seconds * 1000
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < end) await askOnce()
    }),
  )
} finally {
  clearInterval(sampling)
  agent.destroy()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}

const isFlat = (['frontEnd', 'worker'] as const).map((name) => {
  const sizes = memory.map((sample) => sample[name])
  const third = Math.max(1, Math.floor(sizes.length / 3))
  const [early, late] = [Math.max(...sizes.slice(0, third)), Math.max(...sizes.slice(-third))]
  console.log(
    `${name}: at most ${early.toFixed(0)} MiB in the first third, ${late.toFixed(0)} MiB in the last`,
  )
  return late <= early * MAX_GROWTH
})
console.log(`${answers} answers, ${gigabytes.toFixed(1)} GB there and back, none of them changed`)
if (isFlat.includes(false)) {
  console.error('memory has grown')
  process.exitCode = 1
}

/** Sizes of all orders, from one byte on. */
async function askOnce(): Promise<void> {
  const size = randomInt(1, 2 ** randomInt(1, LARGEST_BITS + 1))
  const start = randomInt(0, bytes.length - size + 1)
  const body = bytes.subarray(start, start + size)
  const answer = await post(body)
  if (digest(answer) !== digest(body)) {
    throw new Error(`${body.length} bytes came back as ${answer.length} others`)
  }
  answers += 1
  gigabytes += (2 * size) / 1e9
}

function post(body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': body.length }
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const answer = Buffer.concat(pieces)
        if (response.statusCode === 200) resolve(answer)
        else reject(new Error(`status ${response.statusCode}: ${answer.toString()}`))
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

function digest(data: Buffer): string {
  return createHash('sha1').update(data).digest('hex')
}

function writeEcho(target: string): string {
  mkdirSync(target)
  writeFileSync(path.join(target, 'service.mjs'), SERVICE)
  writeFileSync(path.join(target, 'model.json'), '{"handler": "service.mjs:handle"}')
  return target
}
