import { memoryOfProcess } from '../../system/process-identity.ts'
import type { WorkerMemory } from '../../system/process-identity.ts'

/**
 * Time between two readings of a process. For large processes the kernel needs milliseconds for
 * each, so it is not done once a second.
 */
const INTERVAL_MS = 5000
/** Sizes are rounded to it, so that an idle worker does not change. */
const STEP_BYTES = 256 * 1024

/** The memory of the worker processes, as it was a few seconds ago. */
export class ProcessMemory {
  #memory = new Map<number, WorkerMemory>()
  #readAt = Number.NEGATIVE_INFINITY

  /** Reads new processes now, and the others at intervals. Forgets those that are not named. */
  async update(pids: readonly number[]): Promise<void> {
    const isDue = performance.now() - this.#readAt >= INTERVAL_MS
    if (isDue) this.#readAt = performance.now()
    const before = isDue ? new Map<number, WorkerMemory>() : this.#memory
    this.#memory = new Map(
      await Promise.all(
        pids.map(async (pid) => [pid, before.get(pid) ?? (await roundedMemory(pid))] as const),
      ),
    )
  }

  of(pid: number): WorkerMemory | undefined {
    return this.#memory.get(pid)
  }
}

async function roundedMemory(pid: number): Promise<WorkerMemory> {
  const { privateBytes, sharedBytes, proportionalBytes } = await memoryOfProcess(pid)
  return {
    privateBytes: rounded(privateBytes),
    sharedBytes: rounded(sharedBytes),
    proportionalBytes: rounded(proportionalBytes),
  }
}

function rounded(bytes: number): number {
  return Math.round(bytes / STEP_BYTES) * STEP_BYTES
}
