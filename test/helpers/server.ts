/**
 * Runs the bundled server as a separate process with real workers, as users do, and sends requests
 * to it.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { Settings } from '../../src/config/config.ts'

/** The command that is shipped. */
export const CLI = path.resolve('dist/cli.js')

const GRPC = /^gRPC (\S+), open to /m
const READY = /^onnxd is ready\.\nInference (\S+), management (\S+)$/m
const START_MS = 60_000
/** Time to exit after a signal, in addition to the drain timeout. */
const END_MS = 20_000
/** What some terminals obey, and where some readers split lines. */
const CONTROL = /[\u007F-\u009F\u2028\u2029]/
const DRAIN_SECONDS = 5
/** A test of the weight cache sets `weightCache`. All others must not write to the user's cache. */
const NO_CACHE = { ONNXD_WEIGHT_CACHE: 'off' }

/** Where something is registered that has to be undone later, for example a test. */
export type Cleanup = Pick<TestContext, 'after'>

/** One line of the log. */
export type LogLine = Record<string, unknown>

/** A running server, as other processes see it. */
export interface TestServer {
  readonly pid: number
  readonly inferenceUrl: string
  readonly managementUrl: string
  /** Host and port of the gRPC listener; empty if there is none. */
  readonly grpcAddress: string
  /** Folder that contains only its temporary files. */
  readonly temporary: string
  /** Log lines so far. The server writes them in blocks, so the last ones arrive a moment later. */
  readonly logLines: readonly LogLine[]
  /** Lines on stderr that are not log lines. */
  readonly messages: readonly string[]
  /** Waits for the first log line that `matches`. The line may already exist. */
  logged(matches: (line: LogLine) => unknown): Promise<LogLine>
  /** Fetches a path of the inference listener. */
  fetch(route: string, init?: RequestInit): Promise<Response>
  /** Fetches a path of the management listener. */
  manage(route: string, init?: RequestInit): Promise<Response>
  /**
   * Stops it with SIGTERM. It must exit with code 0 and leave no temporary file. It can be called
   * again; it is always called after the test.
   */
  close(): Promise<void>
  /** Kills it with SIGKILL, like a crash. */
  kill(): Promise<void>
}

/** Options of a server besides its settings. */
export interface Surroundings {
  /** Added to the environment variables of this process. */
  readonly environment?: NodeJS.ProcessEnv
  /** Folder of temporary files, for a server that must find those of an earlier one. */
  readonly temporary?: string
  /** Replaces the program in `dist/`, for example with the command of an installed package. */
  readonly command?: readonly [program: string, ...args: string[]]
  /** Working directory. */
  readonly folder?: string
}

/**
 * Starts the bundled server on free ports, with `settings` as flags. It is closed after the test.
 */
export function serve(
  t: Cleanup,
  models: readonly string[],
  settings: Settings = {},
  surroundings: Surroundings = {},
): Promise<TestServer> {
  const flags = { drainTimeout: DRAIN_SECONDS, stopDelay: 0, logLevel: 'debug', ...settings }
  const ports = { port: 0, managementPort: 0, ...flags }
  return start(t, [...flagsOf(ports), ...models], surroundings, flags.drainTimeout)
}

/**
 * The environment of this process without the variables of the test commands. The server would say
 * on stderr that they are no settings. It disables spare workers, because tests count processes and
 * start many servers. It sets one thread for each worker: with two threads, each start of a worker
 * takes 40 ms more CPU time, because threads of onnxruntime without work spin before they sleep. A
 * test of spare workers or threads sets the flag, or removes the variable. `TEST_HTTP_PROCESSES`
 * is the number of HTTP processes of servers without a setting for it.
 * @param args The command line. Some settings are refused with several processes.
 */
export function serverEnvironment(args: readonly string[] = []): NodeJS.ProcessEnv {
  const isForTests = /^ONNXD_(?:FAULT|FIGURES|FUZZ|TEST_SEED)/
  const own = Object.entries(process.env).filter(([name]) => !isForTests.test(name))
  const processes = needsOneProcess(args) ? undefined : process.env['TEST_HTTP_PROCESSES']
  return {
    ...Object.fromEntries(own),
    ONNXD_SPARE_WORKERS: '0',
    ONNXD_THREADS: '1',
    ...(processes !== undefined && { ONNXD_HTTP_PROCESSES: processes }),
  }
}

/** Whether clients may manage models on the inference listener, which process 0 alone can do. */
function needsOneProcess(args: readonly string[]): boolean {
  const valueOf = (flag: string): string | undefined =>
    args.find((arg) => arg.startsWith(`${flag}=`))?.split('=')[1] ?? args[args.indexOf(flag) + 1]
  const port = args.some((arg) => /^--port\b/.test(arg)) ? valueOf('--port') : undefined
  const isCombined = port !== undefined && port !== '0' && port === valueOf('--management-port')
  return isCombined || args.includes('--expose-repository')
}

/** Starts the bundled server with the given arguments. It is closed after the test. */
export async function start(
  t: Cleanup,
  args: readonly string[],
  {
    environment = {},
    temporary: given,
    command = [process.execPath, CLI],
    folder,
  }: Surroundings = {},
  drainSeconds = DRAIN_SECONDS,
): Promise<TestServer> {
  const temporary = given ?? mkdtempSync(path.join(tmpdir(), 'onnxd-test-'))
  const [program, ...first] = command
  const child = spawn(program, [...first, 'serve', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...serverEnvironment(args), ...NO_CACHE, ...environment, TMPDIR: temporary },
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const logLines: LogLine[] = []
  const messages: string[] = []
  createInterface(child.stderr).on('line', (line) => {
    if (line.startsWith('{"level":') && !CONTROL.test(line))
      logLines.push({ ...(JSON.parse(line) as object) })
    else messages.push(line)
  })

  let isKilled = false
  let hasEnded = false
  // 'close' is emitted when the output is complete.
  const ended: Promise<unknown[]> = once(child, 'close').then((end) => {
    hasEnded = true
    return end
  })
  const kill = async (): Promise<void> => {
    isKilled = true
    child.kill('SIGKILL')
    await ended
  }
  const close = async (): Promise<void> => {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), drainSeconds * 1000 + END_MS)
    const end = await ended
    clearTimeout(timer)
    if (isKilled) return
    assert.deepEqual(end, [0, null], `exit code and signal; stderr:\n${messages.join('\n')}`)
    assert.deepEqual(listing(temporary), [], 'the server leaves no temporary file')
  }
  t.after(async () => {
    try {
      await close()
    } finally {
      if (given === undefined) rmSync(temporary, { recursive: true, force: true })
    }
  })

  await until(() => hasEnded || READY.test(output), START_MS)
  const [, inferenceUrl, managementUrl] = READY.exec(output) ?? []
  if (inferenceUrl === undefined || managementUrl === undefined) {
    await kill()
    throw new Error(`The server did not start:\n${messages.join('\n')}`)
  }
  return {
    pid: child.pid ?? 0,
    inferenceUrl,
    managementUrl,
    grpcAddress: GRPC.exec(output)?.[1] ?? '',
    temporary,
    logLines,
    messages,
    logged: (matches) => until(() => logLines.find(matches)),
    fetch: (route, init) => fetch(inferenceUrl + route, init),
    manage: (route, init) => fetch(managementUrl + route, init),
    close,
    kill,
  }
}

/**
 * Converts settings to command line flags: `batchSize` becomes `--batch-size`. The function of the
 * sources is not imported: its module loads two hundred others, in each test process.
 */
export function flagsOf(settings: Settings): string[] {
  return Object.entries(settings).map(([key, value]) => {
    const flag = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    if (typeof value === 'boolean') return value ? `--${flag}` : `--no-${flag}`
    return `--${flag}=${Array.isArray(value) ? value.join(',') : String(value)}`
  })
}

/** A folder that is removed after the test. */
export function temporaryFolder(t: Cleanup): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Pauses between two probes. They grow with the wait, because a probe costs CPU time. */
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 50
const PAUSE_PER_WAITED_MS = 0.1

/** Waits until `probe` returns a value other than `undefined` or `false`. Fails after `ms`. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 30_000,
): Promise<T> {
  const startedAt = performance.now()
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    const waitedMs = performance.now() - startedAt
    if (waitedMs > ms) throw new Error(`nothing came within ${ms} ms`)
    const pauseMs = Math.min(LONGEST_PAUSE_MS, waitedMs * PAUSE_PER_WAITED_MS)
    await new Promise((resolve) => setTimeout(resolve, Math.max(FIRST_PAUSE_MS, pauseMs)))
  }
}

/** Whether a process exists and is not a zombie. */
export function isAlive(pid: number): boolean {
  return /^\d+ \(.*\) [^ZX]/s.test(statOf(pid))
}

/**
 * Process ids of the workers of a server, or of one of its HTTP processes: the children that are no
 * further HTTP processes, and those of the further HTTP processes.
 */
export function childrenOf(parent: number, children = childrenByParent()): number[] {
  const direct = children.get(parent) ?? []
  return direct.flatMap((pid) => (isFurtherHttpProcess(pid) ? childrenOf(pid, children) : [pid]))
}

/** Whether a process is a further HTTP process of a server (`--http-processes`). */
export function isFurtherHttpProcess(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('/shards/main.js')
  } catch {
    return false
  }
}

/** Process ids of the children of a process. */
export function directChildrenOf(parent: number): readonly number[] {
  return childrenByParent().get(parent) ?? []
}

/** Process ids of the children of each process, without zombies. */
export function childrenByParent(): ReadonlyMap<number, readonly number[]> {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const [, parent] = /^\d+ \(.*\) [^ZX] (\d+)/s.exec(statOf(name)) ?? []
    if (parent === undefined) continue
    const found = children.get(Number(parent))
    if (found === undefined) children.set(Number(parent), [Number(name)])
    else found.push(Number(name))
  }
  return children
}

/** State and parent of a process; empty if it has ended. */
function statOf(pid: number | string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return ''
  }
}

/**
 * Folder of a server's sockets and files, in process 0 if it has several HTTP processes. Fails if
 * there are other temporary files.
 */
export function runtimeFolder({ temporary }: TestServer): string {
  const [name, ...others] = readdirSync(temporary).filter((one) => {
    const [, pid] = /^onnxd-(\d+)-/.exec(one) ?? []
    return pid === undefined || !isFurtherHttpProcess(Number(pid))
  })
  assert.ok(name !== undefined && others.length === 0, `${name} ${others.join(' ')}`)
  return path.join(temporary, name)
}

/** All paths below a folder, sorted; empty if the folder does not exist. */
export function listing(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).toSorted() : []
}

/** The JSON body of a response. */
export async function json(response: Response): Promise<unknown> {
  return JSON.parse(await response.text())
}
