/** A real server with real workers for one test, and small requests to it. */
import { mkdtempSync, rmSync, existsSync, readFileSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { completeConfig } from '../../src/config.ts'
import type { ConfigOrigins, Settings } from '../../src/config.ts'
import { startServer } from '../../src/server.ts'
import type { RunningServer, ServerOptions } from '../../src/server.ts'

const sharedPath = path.resolve(process.cwd(), '../shared')
/** Folder of test data beside the repository; `undefined` where it is absent. */
export const shared: string | undefined = existsSync(path.join(sharedPath, 'models', 'models.json'))
  ? sharedPath
  : undefined
/** For `test(name, { skip: needsShared }, …)`. */
export const needsShared = shared === undefined ? 'needs the folder ../shared' : false

/** A running server and what it logged. */
export interface TestServer extends RunningServer {
  readonly logLines: Record<string, unknown>[]
  /** Fetches a path of the inference listener. */
  fetch(route: string, init?: RequestInit): Promise<Response>
  /** Fetches a path of the management listener. */
  manage(route: string, init?: RequestInit): Promise<Response>
}

/** Starts a server on free ports, its settings as if from the command line; it is closed, and all it left is checked to be gone, after the test. */
export async function serve(
  t: TestContext,
  models: readonly string[],
  settings: Settings = {},
  changed: Pick<ServerOptions, 'availableMemory'> = {},
): Promise<TestServer> {
  const logLines: Record<string, unknown>[] = []
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n'))
        if (line !== '') logLines.push(parseRecord(line))
      done()
    },
  })
  const config = completeConfig({
    port: 0,
    managementPort: 0,
    drainTimeout: 5,
    logLevel: 'debug',
    ...settings,
  })
  const origins: ConfigOrigins = Object.fromEntries(
    Object.keys(settings).map((key) => [key, 'command line']),
  )
  const server = await startServer({
    config,
    origins,
    models,
    environment: process.env,
    log: pino({ level: config.logLevel }, sink),
    ...changed,
  })
  t.after(() => server.close())
  return {
    ...server,
    logLines,
    fetch: (route, init) => fetch(server.inferenceUrl + route, init),
    manage: (route, init) => fetch(server.managementUrl + route, init),
  }
}

function parseRecord(line: string): Record<string, unknown> {
  const record: unknown = JSON.parse(line)
  return typeof record === 'object' && record !== null ? { ...record } : {}
}

/** A folder that is removed after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Waits until `probe` gives something other than `undefined` or `false`; fails after `ms`. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 30_000,
): Promise<T> {
  const deadline = performance.now() + ms
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`nothing came within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** True while a process exists (and is no zombie). */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

/** Pids of the children of a process. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
          .replace(/^.*\) /s, '')
          .split(' ')
        return Number(fields[1]) === parent && isAlive(pid)
      } catch {
        return false
      }
    })
}

/** A JSON body of an answer, as plain data. */
export async function json(response: Response): Promise<unknown> {
  return JSON.parse(await response.text())
}
