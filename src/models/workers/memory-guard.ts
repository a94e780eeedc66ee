/** Rejects workers that do not fit in the free memory, before the system has to kill a process. */
import { readFile, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { memoryOfProcess } from '../../system/process-identity.ts'

const MIB = 1024 * 1024
/** A model is in memory twice while it loads: the file, and the memory of onnxruntime. */
const COPIES = 2
/** Memory of a worker without a model. */
const WORKER_BYTES = 100 * MIB

/** The part of a prepared model that is read. */
interface ModelFiles {
  readonly name: string
  readonly modelPath: string
}

/** What is known about the memory of a model's workers. */
export interface WorkerNeeds {
  /** Private memory of one worker in bytes; `undefined` if none was measured. */
  readonly privateBytes?: number | undefined
  /** Size of the files that the workers share in memory, in bytes. */
  readonly sharedBytes?: number | undefined
}

/** Measures the workers of one model version, and remembers the result. */
export class MeasuredWorkers {
  /** Private memory of the largest worker at the last measurement, in bytes. */
  privateBytes: number | undefined

  /**
   * Measures running workers. Pages that several processes share count once, divided among them.
   * @returns Their memory in bytes.
   */
  async measure(pids: readonly (number | undefined)[]): Promise<number> {
    const known = pids.filter((pid) => pid !== undefined)
    const memories = await Promise.all(known.map(memoryOfProcess))
    const largest = Math.max(0, ...memories.map(({ privateBytes }) => privateBytes))
    if (largest > 0) this.privateBytes = largest
    return memories.reduce((sum, { proportionalBytes }) => sum + proportionalBytes, 0)
  }
}

/** Compares workers with the available memory. The server has one. */
export class MemoryGuard {
  readonly #available: () => Promise<number>
  readonly #freeMemory: () => Promise<boolean>
  /** Bytes for workers that are starting, which the system does not count yet. */
  #reserved = 0

  /**
   * @param available Returns the bytes that processes may still use.
   * @param freeMemory Ends processes that can be missed, and returns whether there were any.
   */
  constructor(
    available: () => Promise<number> = availableBytes,
    freeMemory: () => Promise<boolean> = () => Promise.resolve(false),
  ) {
    this.#available = available
    this.#freeMemory = freeMemory
  }

  /**
   * Reserves memory for `added` workers. Each needs as much as was measured, else twice the size of
   * the model's files and 100 MiB. Files that workers share count once, for the first worker.
   * @param existing Number of workers that already exist.
   * @returns A function that releases the reservation, once the system counts the memory.
   * @throws ServerError `InsufficientMemoryException`.
   */
  async admit(
    model: ModelFiles,
    added: number,
    existing = 0,
    { privateBytes, sharedBytes = 0 }: WorkerNeeds = {},
  ): Promise<() => void> {
    const copies = sharedBytes > 0 ? 0 : COPIES * (await sizeOf(model.modelPath))
    const needed =
      added * (privateBytes ?? copies + WORKER_BYTES) + (existing === 0 ? sharedBytes : 0)
    let left = await this.#left()
    if (needed > left && (await this.#freeMemory())) left = await this.#left()
    if (needed > left) {
      const workers = `${added}${existing > 0 ? ' more' : ''} ${added === 1 ? 'worker' : 'workers'}`
      throw new ServerError(
        'InsufficientMemoryException',
        `Model ${model.name} needs about ${inMib(needed)} MiB of memory for ${workers}; ${inMib(Math.max(0, left))} MiB are left.`,
      )
    }
    return this.#take(needed)
  }

  /**
   * Reserves memory for a process that can be missed.
   * @returns A function that releases the reservation; `undefined` if too little memory is left.
   */
  async reserve(bytes: number): Promise<(() => void) | undefined> {
    if (bytes > (await this.#left())) return undefined
    return this.#take(bytes)
  }

  #take(bytes: number): () => void {
    this.#reserved += bytes
    return () => {
      this.#reserved -= bytes
    }
  }

  async #left(): Promise<number> {
    return (await this.#available()) - this.#reserved
  }
}

/**
 * Returns the bytes that this process and its children may still use: the available memory of the
 * machine, limited by the control group in a container. Cached files do not count as used.
 * @param root Folder that contains `proc` and `sys`.
 */
export async function availableBytes(root = '/'): Promise<number> {
  const inMachine = numberAfter(await textOf(path.join(root, 'proc/meminfo')), 'MemAvailable:')
  const [, own = '/'] = /^0::(.*)$/m.exec(await textOf(path.join(root, 'proc/self/cgroup'))) ?? []
  const groups = [
    // Version 2: the group of a service; a container sees its own group at the top. Then version 1.
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
    // Not a number: the file does not exist, or there is no limit.
    if (!Number.isFinite(limit) || !Number.isFinite(usage)) continue
    const reclaimable = numberAfter(await read('memory.stat'), cached) ?? 0
    left = Math.min(left, limit - usage + reclaimable)
  }
  return left
}

/** Returns the bytes of a file, or of all files in a folder. */
export async function sizeOf(location: string): Promise<number> {
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
