/** The server as a process of its own, as an operator runs it, and what it holds of the machine. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { childrenOf, isAlive, until } from './server.ts'

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url))
const PAGE_BYTES = 4096
const READY = /^onnxd is ready\. Inference (\S+), management (\S+)$/m

/** The example model, by a path that the server is told it may read. */
export const iris = path.resolve('examples/iris')
/** A request that the example model answers. */
export const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}

/** A server that runs. */
export interface ServerProcess {
  readonly pid: number
  readonly inference: string
  readonly management: string
  /** Folder of its runtime directory and of nothing else. */
  readonly temporary: string
  /** Sends a request to the management listener and reads the answer. */
  manage(method: string, route: string, body?: FormData): Promise<Answer>
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>
  /** Ends it as an operator does; it has to end well. */
  stop(): Promise<void>
}

export interface Answer {
  readonly status: number
  readonly text: string
}

/** The size of a test: full unless an environment variable says otherwise. */
export function sizeOf(variable: string, full: number): number {
  const size = Number(process.env[variable] ?? full)
  assert.ok(Number.isInteger(size) && size > 0, `${variable} is a whole number above 0`)
  return size
}

/** Starts a server whose temporary files are under `folder`; it is killed when the test ends. */
export async function startProcess(
  t: TestContext,
  folder: string,
  args: readonly string[] = [],
): Promise<ServerProcess> {
  const temporary = path.join(folder, 't')
  mkdirSync(temporary, { recursive: true })
  const child = spawn(
    process.execPath,
    [CLI, 'serve', '--port', '0', '--management-port', '0', '--log-level', 'error', ...args],
    { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, TMPDIR: temporary } },
  )
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const started = await until(() => {
    assert.equal(child.exitCode, null, 'the server starts')
    return READY.exec(output) ?? false
  }, 60_000)
  const [, inference = '', management = ''] = started
  return {
    pid: child.pid ?? 0,
    inference,
    management,
    temporary,
    manage: async (method, route, body) => {
      const init: RequestInit = body === undefined ? { method } : { method, body }
      const answer = await fetch(management + route, init)
      return { status: answer.status, text: await answer.text() }
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    stop: async () => {
      child.kill('SIGTERM')
      assert.deepEqual(await exited, [0, null])
    },
  }
}

/** A process and all that descend from it. */
export function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap((child) => processTree(child))]
}

/** Living processes that have a folder in their command line: orphans cannot hide from it. */
export function processesNaming(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => isAlive(pid) && readIfPresent(`/proc/${pid}/cmdline`).includes(folder))
}

/** Resident memory of processes together, bytes. */
export function residentBytes(pids: readonly number[]): number {
  return pids
    .map((pid) => Number(readIfPresent(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * PAGE_BYTES)
    .reduce((sum, bytes) => sum + bytes, 0)
}

/** File descriptors that a process has open, sockets among them. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Everything below a folder, sorted. */
export function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map(String).toSorted()
}

/** Names and labels of every metric, without the values. */
export async function metricSeries(server: ServerProcess): Promise<string[]> {
  const { status, text } = await server.manage('GET', '/metrics')
  assert.equal(status, 200)
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')))
    .toSorted()
}

/** Requests that go on until they are told to stop. */
export interface Load {
  /** Answers by status; `lost` for a connection that failed. */
  readonly answers: ReadonlyMap<number | 'lost', number>
  /** First answers that were not 200, for the message of an assertion. */
  readonly problems: readonly string[]
  stop(): Promise<void>
}

/** Asks the example model from several clients at once, each as fast as it is answered. */
export function startLoad(url: string, clients: number, pauseMs = 0): Load {
  const answers = new Map<number | 'lost', number>()
  const problems: string[] = []
  let isOver = false
  const note = (status: number | 'lost', text: string): void => {
    answers.set(status, (answers.get(status) ?? 0) + 1)
    if (status !== 200 && problems.length < 5) problems.push(`${status} ${text}`)
  }
  const runClient = async (): Promise<void> => {
    while (!isOver) {
      try {
        const answer = await fetch(url, FLOWER)
        note(answer.status, await answer.text())
      } catch (error) {
        note('lost', String(error instanceof Error ? (error.cause ?? error) : error))
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
  const running = Promise.all(Array.from({ length: clients }, runClient))
  return {
    answers,
    problems,
    stop: async () => {
      isOver = true
      await running
    },
  }
}

/** Fails unless requests were answered, and every one with 200. */
export function assertAllAnswered({ answers, problems }: Load, least = 20): void {
  assert.deepEqual([...answers.keys()], [200], problems.join('\n'))
  assert.ok((answers.get(200) ?? 0) >= least, `${answers.get(200)} answers`)
}

function readIfPresent(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
