/** A server process under attack or load, and the resources that it uses. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import {
  childrenByParent,
  directChildrenOf,
  isAlive,
  isFurtherHttpProcess,
  start,
} from './server.ts'
import type { TestServer } from './server.ts'

const PAGE_BYTES = 4096

/** Path of the example model, which the server may read. */
export const iris = path.resolve('examples/iris')
/** A valid request for the example model. */
export const FLOWER = {
  method: 'POST',
  body: '{"features":[[5.1,3.5,1.4,0.2]]}',
  headers: { 'content-type': 'application/json' },
}

/** A server with a method that returns whole responses of the management listener. */
export interface ServerProcess extends TestServer {
  /** Sends a request to the management listener and reads the response. */
  call(method: string, route: string, body?: FormData): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly text: string
}

/** The size of a test: `full`, or the value of the environment variable. */
export function sizeOf(variable: string, full: number): number {
  const size = Number(process.env[variable] ?? full)
  assert.ok(Number.isInteger(size) && size > 0, `${variable} is a whole number above 0`)
  return size
}

/** Starts a server that logs errors only and has its temporary files in `folder`. */
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

/** A process and all its descendants. */
export function processTree(pid: number, children = childrenByParent()): number[] {
  return [pid, ...(children.get(pid) ?? []).flatMap((child) => processTree(child, children))]
}

/** Living processes with the folder in their command line. This also finds orphans. */
export function processesNaming(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => isAlive(pid) && readIfPresent(`/proc/${pid}/cmdline`).includes(folder))
}

/** Total resident memory of the processes, in bytes. */
export function residentBytes(pids: readonly number[]): number {
  return pids
    .map((pid) => Number(readIfPresent(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * PAGE_BYTES)
    .reduce((sum, bytes) => sum + bytes, 0)
}

/** Number of open file descriptors of a server in all of its HTTP processes, including sockets. */
export function openFiles(pid: number): number {
  return [pid, ...directChildrenOf(pid).filter(isFurtherHttpProcess)]
    .map((one) => readdirSync(`/proc/${one}/fd`).length)
    .reduce((sum, count) => sum + count, 0)
}

/** Names and labels of every metric, without values. */
export async function metricSeries(server: ServerProcess): Promise<string[]> {
  const { status, text } = await server.call('GET', '/metrics')
  assert.equal(status, 200)
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')))
    .toSorted()
}

/** Requests that are sent until `stop` is called. */
export interface Load {
  /** Number of responses by status; `lost` for failed connections. */
  readonly answers: ReadonlyMap<number | 'lost', number>
  /** The first responses with another status than 200, for assertion messages. */
  readonly problems: readonly string[]
  stop(): Promise<void>
}

/**
 * Sends requests to the example model from several clients, each as soon as it has its response.
 */
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

/** Fails unless all responses have the status 200 and there are at least `least` of them. */
export function assertAllAnswered({ answers, problems }: Load, least = 20): void {
  assert.deepEqual([...answers.keys()], [200], problems.join('\n'))
  assert.ok((answers.get(200) ?? 0) >= least, `${answers.get(200)} answers`)
}

/** Returns the text of a file; empty if it is gone, as that of a process that has ended. */
export function readIfPresent(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
