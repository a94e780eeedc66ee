/** Small worker processes that keep to the protocol, except where a test makes them misbehave. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { StartedProcess } from '../../src/worker/host/worker-process.ts'
import type { ProcessSpec } from '../../src/worker/host/worker-process.ts'
import type { WorkerSpec } from '../../src/worker/host/worker-spec.ts'
import { Worker } from '../../src/worker/host/worker.ts'
import type { LoadRequest, WireRequest } from '../../src/worker/wire/messages.ts'
import { DEFAULT_WIRE_LIMITS } from '../../src/worker/wire/messages.ts'

const EXTENSION = path.extname(fileURLToPath(import.meta.url))
const wire = (name: string): string =>
  JSON.stringify(new URL(`../../src/worker/wire/${name}${EXTENSION}`, import.meta.url).href)

/**
 * The code of the test replaces the mark `//BEHAVIOUR`. It may replace `onLoad`, `onPredict` and
 * `onReady`.
 */
const SCRIPT = `
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { RequestDecoder } from ${wire('decode')}
import { encodeReply } from ${wire('encode')}
const frame = (reply) => Buffer.concat(encodeReply({ code: 200, message: '', predictions: [], ...reply }))
const answer = ({ id, parameters }) =>
  ({ id, contentType: '', status: 200, reason: '', headers: [], body: parameters[0]?.value ?? Buffer.alloc(0) })
const answers = (requests) => frame({ predictions: requests.map(answer) })
const int = (value) => { const bytes = Buffer.alloc(4); bytes.writeInt32BE(value); return bytes }
let onReady = () => console.log('fake worker ready')
let onLoad = (socket) => socket.write(frame({ message: 'loaded. [PID]:1' }))
let onPredict = (socket, requests) => socket.write(answers(requests))
let onTerm = () => process.exit(0)
process.on('SIGTERM', () => onTerm())
// It goes with a test run that is killed.
const parent = process.ppid
setInterval(() => process.ppid === parent || process.kill(process.pid, 'SIGKILL'), 500).unref()
//BEHAVIOUR
createServer((socket) => {
  const decoder = new RequestDecoder()
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    for (const message of decoder.push(chunk)) {
      if (message.command === 'load') onLoad(socket, message)
      else onPredict(socket, message.requests)
    }
  })
}).listen(process.argv[2], () => onReady())
`

/** A started fake worker and its output. */
export interface FakeProcess {
  readonly worker: Worker
  readonly lines: { readonly stream: 'stdout' | 'stderr'; readonly line: string }[]
}

/** Starts a fake worker. It is killed after the test. */
export function startFake(
  t: TestContext,
  behaviour = '',
  { child, ...spec }: Partial<WorkerSpec & Pick<ProcessSpec, 'child'>> = {},
): FakeProcess {
  const folder = mkdtempSync(path.join(tmpdir(), 'of-'))
  const script = path.join(folder, 'worker.mjs')
  const socketPath = path.join(folder, 's')
  writeFileSync(
    script,
    SCRIPT.replace('//BEHAVIOUR', () => behaviour),
  )
  const lines: FakeProcess['lines'] = []
  const worker = new Worker({
    process: new StartedProcess({
      child: child ?? {
        command: process.execPath,
        args: ['--max-old-space-size=48', script, socketPath],
        workingDirectory: folder,
        environment: { PATH: process.env.PATH ?? '' },
      },
      address: { path: socketPath },
      readyLine: 'fake worker ready',
    }),
    dialect: 'mms',
    load: LOAD,
    limits: { ...DEFAULT_WIRE_LIMITS, maxValueBytes: 64 * 1024 * 1024 },
    loadTimeoutMs: 10_000,
    responseTimeoutMs: 10_000,
    maxInFlight: 8,
    onLine: (line, stream) => lines.push({ stream, line }),
    ...spec,
  })
  t.after(async () => {
    worker.kill('was left over by its test')
    await worker.exited
    rmSync(folder, { recursive: true, force: true })
  })
  return { worker, lines }
}

/** Starts a fake worker and waits until its model is loaded. */
export async function loadedFake(
  t: TestContext,
  behaviour = '',
  spec: Partial<WorkerSpec> = {},
): Promise<FakeProcess> {
  const fake = startFake(t, behaviour, spec)
  await fake.worker.ready
  return fake
}

export const LOAD: LoadRequest = {
  command: 'load',
  modelName: 'm',
  modelPath: '/models/m',
  batchSize: 4,
  handler: 'service.mjs:handle',
  gpu: -1,
  ioDescriptor: '',
  envelope: '',
  limitMaxImagePixels: true,
}

/** A request with the body `text`. */
export function request(id: string, text = id): WireRequest {
  return {
    id,
    headers: [],
    parameters: [{ name: 'body', contentType: '', value: Buffer.from(text) }],
  }
}
