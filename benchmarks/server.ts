/** The measured server, as a separate process. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'

const GRPC = /^gRPC (\S+), open to /m
const READY = /^onnxd is ready\.\nInference (\S+), management (\S+)$/m
/** Linux counts CPU time in hundredths of a second. */
const TICK_MS = 10
const PAGE_BYTES = 4096

export interface BenchServer {
  readonly inference: string
  readonly management: string
  /** Host and port of the gRPC listener; empty if there is none. */
  readonly grpc: string
  readonly pid: number
  /** Worker processes, in ascending order of their ids. */
  workers(): readonly number[]
  stop(): Promise<void>
}

/** What differs from most starts. */
export interface StartOptions {
  readonly timeoutMs?: number
  /** File for the log; without it the log is deleted with the server. */
  readonly logFile?: string
}

/**
 * Starts a server on free loopback ports and waits until its models are loaded. Its access log goes
 * to a file, as in most deployments.
 */
export async function startServer(
  cli: string,
  args: readonly string[],
  { timeoutMs = 60_000, logFile }: StartOptions = {},
): Promise<BenchServer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
  const log = openSync(logFile ?? path.join(folder, 'log'), 'w')
  const child = spawn(
    process.execPath,
    [cli, 'serve', '--port', '0', '--management-port', '0', ...args],
    {
      stdio: ['ignore', 'pipe', log],
      // Benchmarks count processes and their memory.
      env: { ONNXD_SPARE_WORKERS: '0', ...process.env },
    },
  )
  closeSync(log)
  rmSync(folder, { recursive: true })
  // Kills the server if the benchmark is interrupted.
  const kill = (): boolean => child.kill('SIGKILL')
  process.once('exit', kill)
  const [inference, management, grpc] = await addresses(child, timeoutMs)
  const { pid = 0 } = child
  return {
    inference,
    management,
    grpc,
    pid,
    workers: () => childrenOf(pid),
    stop: async () => {
      process.off('exit', kill)
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    },
  }
}

/** CPU time that a process has used, in milliseconds. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** Resident memory of a process, in MiB. */
export function residentMib(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1])
  return (pages * PAGE_BYTES) / 2 ** 20
}

/** Memory of a process in MiB. */
export interface ProcessMemory {
  /** Pages that no other process has. */
  readonly own: number
  /** Pages that are no file: heap, stacks, copies of weights. */
  readonly anonymous: number
  /** Own pages, and of each shared page the part of this process. */
  readonly proportional: number
}

/** Reads the memory of a process; `NaN` if the system does not report it. */
export function memoryOf(pid: number): ProcessMemory {
  const file = `/proc/${pid}/smaps_rollup`
  const text = existsSync(file) ? readFileSync(file, 'latin1') : ''
  const mib = (word: string): number =>
    Number(new RegExp(`^${word}: +(\\d+) kB$`, 'm').exec(text)?.[1]) / 1024
  return {
    own: mib('Private_Clean') + mib('Private_Dirty'),
    anonymous: mib('Anonymous'),
    proportional: mib('Pss'),
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.split(') ')[1]?.split(' ')[1])
  } catch {
    return undefined
  }
}

async function addresses(
  child: ChildProcess,
  timeoutMs: number,
): Promise<[string, string, string]> {
  return new Promise((resolve, reject) => {
    let output = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error('the server did not start in time'))
    }, timeoutMs)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`the server ended with code ${code}: ${output}`))
    })
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const [, inference, management] = READY.exec(output) ?? []
      if (inference === undefined || management === undefined) return
      clearTimeout(timer)
      resolve([inference, management, GRPC.exec(output)?.[1] ?? ''])
    })
  })
}
