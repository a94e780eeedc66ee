/** A server under attack or load, and what it holds of the machine. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { childrenOf, isAlive, start } from './server.ts'
import type { TestServer } from './server.ts'

const PAGE_BYTES = 4096

/** The example model, by a path that the server is told it may read. */
export const iris = path.resolve('examples/iris')
/** A request that the example model answers. */
export const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}

/** A server that is asked for whole answers of the management listener. */
export interface ServerProcess extends TestServer {
  /** Sends a request to the management listener and reads the answer. */
  call(method: string, route: string, body?: FormData): Promise<Answer>
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

/** Starts a server whose temporary files are under `folder` and which logs errors only. */
export async function startProcess(
  t: TestContext,
  folder: string,
  args: readonly string[] = [],
): Promise<ServerProcess> {
  const temporary = path.join(folder, 't')
  mkdirSync(temporary, { recursive: true })
  const flags = ['--port', '0', '--management-port', '0', '--log-level', 'error']
  const server = await start(t, [...flags, ...args], { temporary })
  return {
    ...server,
    call: async (method, route, body) => {
      const init: RequestInit = body === undefined ? { method } : { method, body }
      const answer = await server.manage(route, init)
      return { status: answer.status, text: await answer.text() }
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

/** Names and labels of every metric, without the values. */
export async function metricSeries(server: ServerProcess): Promise<string[]> {
  const { status, text } = await server.call('GET', '/metrics')
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
