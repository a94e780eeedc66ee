/**
 * Sends random bodies from many concurrent clients to models that echo them. Each byte must come
 * back, no process may be replaced, and their memory must not grow.
 *
 *     npm run soak                   64 clients, 60 seconds
 *     npm run soak -- --clients=8 --seconds=10
 */
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { missingModels } from './bench-models.ts'
import { median } from './benchmark.ts'
import { endWhenAsked } from './end-when-asked.ts'
import { residentMib, startServer } from './server.ts'
import { FRAMINGS, askBack } from './soak-client.ts'
import { IDENTITY, echoHandler, identityNetwork } from './soak-subjects.ts'

const LARGEST = 2 ** 23
const SAMPLE_MS = 500
/** Maximum ratio of the memory in the last third to that in the first third. */
const MAX_GROWTH = 1.3
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '60' },
  },
})
const clients = Number(values.clients)
const seconds = Number(values.seconds)

const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-soak-'))
endWhenAsked()
process.once('exit', () => rmSync(folder, { recursive: true }))
const subjects = [echoHandler(folder)]
const missing = missingModels(IDENTITY)
if (missing === undefined) subjects.push(identityNetwork)
else console.log(`without a network: ${missing}`)

const bytes = randomBytes(LARGEST)
const agent = new Agent({ keepAlive: true })
const kinds = subjects.flatMap((subject) =>
  FRAMINGS.map((framing) => ({ subject, framing, sizes: new Array<number>() })),
)
const args = ['--allow-handlers', '--queue-size', String(clients), '--log-level', 'error']
const server = await startServer(CLI, [...args, ...subjects.map(({ file }) => file)])
const memory = [server.pid, ...server.workers()].map((pid) => ({ pid, mib: new Array<number>() }))
// Throws if one of the processes has exited, which ends the test.
const sampling = setInterval(() => {
  for (const { pid, mib } of memory) mib.push(residentMib(pid))
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
}
report()

/** Sends one body. Sizes of each order of magnitude, from one byte on, are equally frequent. */
async function askOnce(): Promise<void> {
  const kind = kinds[randomInt(kinds.length)]
  if (kind === undefined) throw new Error('there is nothing to ask')
  const size = Math.round(LARGEST ** Math.random())
  const start = randomInt(LARGEST - size + 1)
  const data = bytes.subarray(start, start + size)
  await askBack({ server: server.inference, agent, data, ...kind })
  kind.sizes.push(size)
}

/** Prints the totals. Fails if memory has grown or the run was too short to tell. */
function report(): void {
  for (const { subject, framing, sizes } of kinds) {
    const gigabytes = (2 * sizes.reduce((sum, size) => sum + size, 0)) / 1e9
    console.log(
      `${subject.name}, ${framing}: ${sizes.length} answers, bodies of ${Math.min(...sizes)} to ${Math.max(...sizes)} bytes, ` +
        `${gigabytes.toFixed(1)} GB there and back, none of them changed`,
    )
    if (sizes.length === 0) fail('no request came back')
  }
  for (const [index, { mib }] of memory.entries()) {
    const name = index === 0 ? 'front-end' : `worker ${index}`
    const third = Math.ceil(mib.length / 3)
    const thirds = [mib.slice(0, third), mib.slice(-third)] as const
    const [early, late] = [Math.max(...thirds[0]), Math.max(...thirds[1])]
    const [usual, usualLate] = thirds.map((part) => median(part).toFixed(0))
    console.log(
      `${name}: median ${usual} MiB and at most ${early.toFixed(0)} MiB in the first third, ${usualLate} and ${late.toFixed(0)} MiB in the last`,
    )
    if (mib.length < 3) fail('too short to see whether memory grows')
    else if (late > early * MAX_GROWTH) fail(`memory of the ${name} has grown`)
  }
}

function fail(text: string): void {
  console.error(text)
  process.exitCode = 1
}
