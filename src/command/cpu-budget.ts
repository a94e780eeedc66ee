/** How the models that are loaded share the cores of the machine. */
import { availableParallelism } from 'node:os'

/** The part of a model version that is counted. */
interface Counted {
  readonly name: string
  readonly settings: { readonly workers: number; readonly threads: number }
}

export interface CpuBudget {
  readonly cores: number
  readonly workers: number
  /** Of all workers together. */
  readonly threads: number
}

/** Workers and threads of these versions against the cores this process may use. */
export function cpuBudget(versions: readonly Counted[], cores = availableParallelism()): CpuBudget {
  let workers = 0
  let threads = 0
  for (const { settings } of versions) {
    workers += settings.workers
    threads += settings.workers * settings.threads
  }
  return { cores, workers, threads }
}

/** What an operator should know of a budget that is overdrawn; `undefined` for any other. */
export function overdrawnText({ cores, workers, threads }: CpuBudget): string | undefined {
  if (threads <= cores) return undefined
  return (
    `${workers} workers have ${threads} threads for ${cores} ${cores === 1 ? 'core' : 'cores'}. ` +
    'That is fine while few models are busy at once; else --threads 1, or fewer --workers, gives more throughput.'
  )
}
