/** Starts the real worker process and acts as its front-end. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import type { NetConnectOpts, Socket } from 'node:net'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { ReplyDecoder } from '../../src/worker/wire/decode.ts'
import { encodeLoad, encodePredict } from '../../src/worker/wire/encode.ts'
import type {
  LoadRequest,
  WireParameter,
  WireRequest,
  WorkerReply,
} from '../../src/worker/wire/messages.ts'
import { temporaryFolder } from './server.ts'
import { until } from './until.ts'

/** The program of a worker, as it ships. */
export const WORKER_ENTRY = path.resolve('dist/worker/process/main.js')
/** The command `onnxd-worker` that is shipped. */
export const LAUNCHER = path.resolve('dist/worker/process/launcher.js')

/** Options of a worker's start. The default is a unix socket in the worker's own folder. */
export interface WorkerStart {
  readonly folder?: string
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Program to start; default is the worker's entry. */
  readonly entry?: string
}

/** A running worker process. */
export class TestWorker {
  readonly process: ChildProcess
  /** Folder of the socket and the FIFOs. It is removed after the test. */
  readonly folder: string
  readonly socketPath: string
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  stdout = ''
  stderr = ''

  constructor(process: ChildProcess, folder: string) {
    this.process = process
    this.folder = folder
    this.socketPath = path.join(folder, 'w.sock')
    process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    // 'close' is emitted when the output is complete, which the tests check.
    this.exited = once(process, 'close').then(([code, signal]) => ({ code, signal }))
  }

  get pid(): number {
    return this.process.pid ?? 0
  }

  /** Waits until stdout (or stderr) contains `text`. */
  async printed(text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    await until(`the worker prints ${text}`, () => this[stream].includes(text))
  }

  connect(): Promise<WorkerClient> {
    return WorkerClient.connect({ path: this.socketPath })
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM')
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 2000)
    await this.exited
    clearTimeout(timer)
  }
}

/**
 * Starts a worker and waits until it listens. It is stopped and its folder is removed after the
 * test.
 */
export async function startWorker(t: TestContext, start: WorkerStart = {}): Promise<TestWorker> {
  const worker = await launchWorker(t, start)
  await worker.printed('Node runtime: ')
  return worker
}

/** Starts a worker that may fail to start. */
export async function launchWorker(t: TestContext, start: WorkerStart = {}): Promise<TestWorker> {
  const folder = start.folder ?? temporaryFolder(t)
  const args = start.args ?? ['--sock-type', 'unix', '--sock-name', path.join(folder, 'w.sock')]
  const child = spawn(
    process.execPath,
    [start.entry ?? WORKER_ENTRY, ...args, '--tmp-dir', folder],
    {
      env: { ...process.env, ...start.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const worker = new TestWorker(child, folder)
  t.after(() => worker.stop())
  return worker
}

/** A model folder that holds the given files. */
export async function modelFolder(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), text)
  }
  return folder
}

/** One connection to a worker. */
export class WorkerClient {
  readonly socket: Socket
  /** Resolves when the worker has closed the connection, or the connection has failed. */
  readonly closed: Promise<void>
  isClosed = false
  readonly #decoder = new ReplyDecoder()
  readonly #replies: WorkerReply[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#replies.push(...this.#decoder.push(chunk)))
    // A worker may also close with a reset; 'close' follows.
    socket.on('error', () => socket.destroy())
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true
        resolve()
      })
    })
  }

  static async connect(address: NetConnectOpts): Promise<WorkerClient> {
    const socket = createConnection(address)
    await once(socket, 'connect')
    return new WorkerClient(socket)
  }

  send(bytes: Buffer | readonly Buffer[]): void {
    this.socket.write(Buffer.isBuffer(bytes) ? bytes : Buffer.concat(bytes))
  }

  /** The next reply. Fails if the worker closes the connection instead. */
  async reply(): Promise<WorkerReply> {
    await until('the worker replies', () => this.#replies.length > 0 || this.isClosed)
    const reply = this.#replies.shift()
    assert.ok(reply, 'the worker closed the connection without a reply')
    return reply
  }

  /** Waits for the end of the connection and returns the remaining replies. */
  async end(): Promise<readonly WorkerReply[]> {
    await until('the worker closes the connection', () => this.isClosed)
    return this.#replies.splice(0)
  }

  load(request: Partial<LoadRequest> = {}): Promise<WorkerReply> {
    this.send(encodeLoad(loadRequest(request), 'mms'))
    return this.reply()
  }

  predict(requests: readonly WireRequest[]): Promise<WorkerReply> {
    this.send(encodePredict(requests))
    return this.reply()
  }
}

export function loadRequest(request: Partial<LoadRequest>): LoadRequest {
  return {
    command: 'load',
    modelName: 'm',
    modelPath: '/nowhere',
    batchSize: 1,
    handler: 'service.mjs:handle',
    gpu: -1,
    ioDescriptor: '',
    envelope: '',
    limitMaxImagePixels: true,
    ...request,
  }
}

/** A request with one parameter for each `[name, value, contentType]`. */
export function wireRequest(
  parameters: readonly (readonly [name: string, value: string | Buffer, contentType?: string])[],
  headers: WireRequest['headers'] = [],
  id = 'r1',
): WireRequest {
  const toParameter = ([name, value, contentType = '']: (typeof parameters)[number]) =>
    ({ name, contentType, value: Buffer.from(value) }) satisfies WireParameter
  return { id, headers, parameters: parameters.map(toParameter) }
}
