/** Small worker processes that keep to the protocol, except where a test makes them misbehave. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { StartedProcess } from '../../src/worker/host/child-process/worker-process.ts'
import type { ProcessSpec } from '../../src/worker/host/child-process/worker-process.ts'
import type { WorkerSpec } from '../../src/worker/host/worker-spec.ts'
import { Worker } from '../../src/worker/host/worker.ts'
import type { LoadRequest, WireRequest } from '../../src/worker/wire/messages.ts'
import { DEFAULT_WIRE_LIMITS } from '../../src/worker/wire/messages.ts'

const EXTENSION = path.extname(fileURLToPath(import.meta.url))
const wire = (name: string): string =>
  JSON.stringify(new URL(`../../src/worker/wire/${name}${EXTENSION}`, import.meta.url).href)

/**
 * The code of the test replaces the mark `//BEHAVIOUR`. It may replace `onConnection`,
 * `onLoad`, `onPredict` and `onReady`.
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
let onConnection = () => {}
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
  onConnection()
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

/** Starts the process of a fake worker. It is killed after the test. */
export function fakeProcess(
  t: TestContext,
  behaviour = '',
  given?: ProcessSpec['child'],
): StartedProcess {
  const folder = mkdtempSync(path.join(tmpdir(), 'of-'))
  const script = path.join(folder, 'worker.mjs')
  const socketPath = path.join(folder, 's')
  writeFileSync(
    script,
    SCRIPT.replace('//BEHAVIOUR', () => behaviour),
  )
  const child = given ?? {
    command: process.execPath,
    args: ['--max-old-space-size=48', script, socketPath],
    workingDirectory: folder,
    environment: { PATH: process.env.PATH ?? '' },
  }
  const address = { path: socketPath }
  const started = new StartedProcess({ child, folder, address, readyLine: 'fake worker ready' })
  t.after(async () => {
    started.kill()
    await started.exited
    rmSync(folder, { recursive: true, force: true })
  })
  return started
}

/** What a fake worker needs besides its process. */
export function fakeSpec(lines: FakeProcess['lines']): Omit<WorkerSpec, 'process'> {
  return {
    dialect: 'mms',
    load: LOAD,
    limits: { ...DEFAULT_WIRE_LIMITS, maxValueBytes: 64 * 1024 * 1024 },
    loadTimeoutMs: 10_000,
    responseTimeoutMs: 10_000,
    maxInFlight: 8,
    onLine: (line, stream) => lines.push({ stream, line }),
  }
}

/** Starts a fake worker. It is killed after the test. */
export function startFake(
  t: TestContext,
  behaviour = '',
  { child, ...spec }: Partial<WorkerSpec & Pick<ProcessSpec, 'child'>> = {},
): FakeProcess {
  const lines: FakeProcess['lines'] = []
  const worker = new Worker({
    ...fakeSpec(lines),
    process: fakeProcess(t, behaviour, child),
    ...spec,
  })
  t.after(async () => {
    worker.kill('was left over by its test')
    await worker.exited
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
