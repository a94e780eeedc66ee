/** What the operating system knows about a process: its start time, memory and open files. */
import { readFileSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'

const PAGE_BYTES = 4096

/** Whether the process with this id and this start is still running. */
export async function isSameProcess(pid: number, start: string | undefined): Promise<boolean> {
  const now = await startOfProcess(pid)
  if (now !== undefined) return now === start
  // Without /proc only the id can be checked. On Linux a process without an entry has ended.
  if (process.platform === 'linux') return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/**
 * Returns an identity that no other process with that id has: part of the boot id, and field 22 of
 * `/proc/<pid>/stat`, the start in ticks since boot. `undefined` for a process that has ended, even
 * if its parent has not reaped it yet.
 */
export async function startOfProcess(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    // Field 2 is the command in parentheses. It may contain any characters, even parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '0')
    return `${boot.slice(0, 8)}.${fields[19] ?? ''}`
  } catch {
    return undefined
  }
}

/**
 * Returns the resident memory of a process in bytes; 0 if it cannot be read. It comes from the
 * second field of `statm`, which the kernel fills faster than `status`.
 */
export async function residentBytes(pid: number): Promise<number> {
  try {
    const pages = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ')[1]
    return Number(pages) * PAGE_BYTES
  } catch {
    return 0
  }
}

/**
 * Returns the largest resident memory that a process ever had, in bytes; `undefined` if the system
 * does not tell.
 */
export async function peakBytes(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}

/** The memory of one process in bytes. */
export interface WorkerMemory {
  /** Memory that no other process shares. */
  readonly privateBytes: number
  /** Memory that other processes share: programs, libraries, mapped weights. */
  readonly sharedBytes: number
  /** Private memory, and of each shared page the part of this process (PSS). */
  readonly proportionalBytes: number
}

/**
 * Returns the memory of a process in bytes; zeros if it has ended. Without `smaps_rollup` all
 * resident memory counts as private.
 */
export async function memoryOfProcess(pid: number): Promise<WorkerMemory> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1').catch(() => undefined)
  if (text === undefined) {
    const bytes = await residentBytes(pid)
    return { privateBytes: bytes, sharedBytes: 0, proportionalBytes: bytes }
  }
  const kib = (word: string): number =>
    Number(new RegExp(`^${word}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  const privateBytes = (kib('Private_Clean') + kib('Private_Dirty')) * 1024
  const sharedBytes = (kib('Shared_Clean') + kib('Shared_Dirty')) * 1024
  return { privateBytes, sharedBytes, proportionalBytes: kib('Pss') * 1024 }
}

/** Returns the `code` of a system error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** Number of open files of this process; `undefined` if the system does not tell. */
export async function openDescriptors(): Promise<number | undefined> {
  const names = await readdir('/proc/self/fd').catch(() => undefined)
  // One of them is the open folder itself.
  return names === undefined ? undefined : names.length - 1
}

/**
 * Maximum number of open files of this process. Node raises its soft limit to the hard limit at
 * start.
 */
export function descriptorLimit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
    return found === null ? Number.POSITIVE_INFINITY : Number(found[1])
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
