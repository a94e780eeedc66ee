/** Refuses workers that would not fit in the memory that is left, before the machine has to kill something for it. */
import { readFile, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'

const MIB = 1024 * 1024
/** A network is in memory twice while it is loaded: as it was read, and as onnxruntime lays it out. */
const COPIES = 2
/** What a worker takes without any model. */
const WORKER_BYTES = 100 * MIB

/** The part of a prepared model that is looked at. */
interface Weighed {
  readonly name: string
  readonly modelPath: string
}

/** Admits workers against the memory that is left. One for the whole server. */
export class MemoryGuard {
  readonly #available: () => Promise<number>
  /** For workers that are being started, and so not yet seen by the system. */
  #reserved = 0

  /** @param available Bytes that processes may still take. */
  constructor(available: () => Promise<number> = availableBytes) {
    this.#available = available
  }

  /**
   * Keeps room for `added` workers beside those that there are: for each twice the model's files, and 100 MiB.
   * @returns What gives the room back, once the system can see what they took.
   * @throws ServerError `InsufficientMemoryException`.
   */
  async admit(model: Weighed, added: number, existing = 0): Promise<() => void> {
    const needed = added * (COPIES * (await sizeOf(model.modelPath)) + WORKER_BYTES)
    const left = (await this.#available()) - this.#reserved
    if (needed > left) {
      const workers = `${added}${existing > 0 ? ' more' : ''} ${added === 1 ? 'worker' : 'workers'}`
      throw new ServerError(
        'InsufficientMemoryException',
        `Model ${model.name} needs about ${inMib(needed)} MiB of memory for ${workers}; ${inMib(Math.max(0, left))} MiB are left.`,
      )
    }
    this.#reserved += needed
    return () => {
      this.#reserved -= needed
    }
  }
}

/**
 * Bytes that this process and its children may still take: what the machine has, and in a container
 * what its control group leaves, in which files that are only cached do not count.
 * @param root Where `/proc` and `/sys` are.
 */
export async function availableBytes(root = '/'): Promise<number> {
  const inMachine = numberAfter(await textOf(path.join(root, 'proc/meminfo')), 'MemAvailable:')
  const [, own = '/'] = /^0::(.*)$/m.exec(await textOf(path.join(root, 'proc/self/cgroup'))) ?? []
  const groups = [
    // Version 2: the group of a service; a container sees its own at the top. Then version 1.
    [`sys/fs/cgroup${own}`, 'memory.max', 'memory.current', 'inactive_file'],
    [
      'sys/fs/cgroup/memory',
      'memory.limit_in_bytes',
      'memory.usage_in_bytes',
      'total_inactive_file',
    ],
  ] as const
  let left = inMachine === undefined ? Number.POSITIVE_INFINITY : inMachine * 1024
  for (const [folder, limitFile, usageFile, cached] of groups) {
    const read = (name: string): Promise<string> => textOf(path.join(root, folder, name))
    const limit = Number.parseInt(await read(limitFile), 10)
    const usage = Number.parseInt(await read(usageFile), 10)
    // No number: there is no such file, or no limit.
    if (!Number.isFinite(limit) || !Number.isFinite(usage)) continue
    const reclaimable = numberAfter(await read('memory.stat'), cached) ?? 0
    left = Math.min(left, limit - usage + reclaimable)
  }
  return left
}

/** Bytes of a file, or of everything in a folder. */
async function sizeOf(location: string): Promise<number> {
  const stats = await stat(location)
  if (!stats.isDirectory()) return stats.size
  const sizes = await Promise.all(
    (await readdir(location)).map((name) => sizeOf(path.join(location, name))),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

function numberAfter(text: string, word: string): number | undefined {
  const [, digits] = new RegExp(`^${word}\\s+(\\d+)`, 'm').exec(text) ?? []
  return digits === undefined ? undefined : Number(digits)
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}

function inMib(bytes: number): number {
  return Math.round(bytes / MIB)
}
