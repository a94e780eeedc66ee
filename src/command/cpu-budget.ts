/** How the loaded models share the cores of the machine. */
import { availableParallelism } from 'node:os'

/** The fields of a model version that are counted. */
interface VersionThreads {
  readonly name: string
  readonly settings: {
    readonly workers: number
    readonly threads: number
    readonly loadsOnDemand?: boolean
  }
}

export interface CpuBudget {
  readonly cores: number
  readonly workers: number
  /** The sum of the threads of all workers. */
  readonly threads: number
}

/**
 * Compares the workers and threads of these versions with the cores that this process may use.
 * Models that load on demand do not count: few of them are loaded at the same time.
 * @param processes HTTP processes; each has at least one worker of a model.
 */
export function cpuBudget(
  versions: readonly VersionThreads[],
  cores = availableParallelism(),
  processes = 1,
): CpuBudget {
  let workers = 0
  let threads = 0
  for (const { settings } of versions) {
    if (settings.loadsOnDemand === true) continue
    const own = settings.workers === 0 ? 0 : Math.max(settings.workers, processes)
    workers += own
    threads += own * settings.threads
  }
  return { cores, workers, threads }
}

/** Returns a warning for the operator if there are more threads than cores; else `undefined`. */
export function overdrawnText({ cores, workers, threads }: CpuBudget): string | undefined {
  if (threads <= cores) return undefined
  return (
    `${workers} workers have ${threads} threads for ${cores} ${cores === 1 ? 'core' : 'cores'}. ` +
    'This only helps if few models are busy at the same time. Otherwise --threads 1 or fewer --workers gives more throughput.'
  )
}
