/** What the system says about a process: which one an id belongs to, and how much memory it has. */
import { readFile } from 'node:fs/promises'

const PAGE_BYTES = 4096

/** Whether the process that had this id and start is still there. */
export async function isSameProcess(pid: number, start: string | undefined): Promise<boolean> {
  const now = await startOfProcess(pid)
  if (now !== undefined) return now === start
  // No /proc: the id alone has to do. On Linux a process without an entry is gone.
  if (process.platform === 'linux') return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/**
 * When a process started, in a form no other process of that id shares: the boot, and field 22 of
 * `/proc/<pid>/stat`, ticks since then. `undefined` for one that is gone or only waits to be reaped.
 */
export async function startOfProcess(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    // Field 2 is the command in parentheses and may hold anything, parentheses too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '0')
    return `${boot.slice(0, 8)}.${fields[19] ?? ''}`
  } catch {
    return undefined
  }
}

/**
 * Resident memory of a process, bytes; 0 where it cannot be read. It is the second field of `statm`,
 * which the kernel fills faster than `status`.
 */
export async function residentBytes(pid: number): Promise<number> {
  try {
    const pages = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ')[1]
    return Number(pages) * PAGE_BYTES
  } catch {
    return 0
  }
}

/** The `code` of an error of the system. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
