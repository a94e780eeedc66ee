/** The live data of the server: its types, and how events change it. */

/** A histogram: the number of values at or below each bound, and of all values. */
export interface Histogram {
  readonly bounds: readonly number[]
  readonly cumulative: readonly number[]
  readonly sum: number
}

/** The memory of a worker process in bytes. */
export interface Memory {
  readonly privateBytes: number
  readonly sharedBytes: number
  readonly proportionalBytes: number
}

/** A worker of a model version. */
export interface Worker {
  readonly id: number | string
  readonly pid?: number
  readonly status: 'READY' | 'LOADING' | 'UNLOADING'
  readonly startTime: string
  readonly inFlight: number
  readonly restarts: number
  readonly lastFailure?: string
  readonly memory?: Memory
}

export type VersionState = 'LOADING' | 'READY' | 'PARTIAL' | 'UNLOADED' | 'UNAVAILABLE' | 'FAILED'

/** Counts by name. */
export type Counts = Readonly<Record<string, number>>

/** State and counters of a model version. */
export interface Version {
  readonly name: string
  readonly version: string
  readonly isDefault: boolean
  readonly status: VersionState
  readonly loadsOnDemand: boolean
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly readyWorkers: number
  readonly queued: number
  readonly queuedBytes: number
  readonly running: number
  readonly capacity: number
  readonly statuses: Counts
  readonly rejections: Counts
  readonly restarts: Counts
  readonly loads: number
  readonly evictions: Counts
  readonly lastRequestAt: number
  readonly queueSeconds?: Histogram
  readonly workerSeconds?: Histogram
  readonly batches?: { readonly count: number; readonly requests: number }
  readonly workers: readonly Worker[]
}

/** One criterion of a rollout. The shares are from 0 to 1. */
export interface RolloutEvidence {
  readonly criterion: 'errors' | 'latency' | 'agreement'
  readonly lower: number
  readonly upper: number
  readonly limit: number
  readonly requests: number
  readonly verdict: 'good' | 'bad' | 'open'
}

/** Requests with a response, and those that failed. */
export interface RolloutCounts {
  readonly requests: number
  readonly errors: number
}

/** The rollout of a model that runs, or its last one. */
export interface Rollout {
  readonly name: string
  readonly state: 'running' | 'paused' | 'promoted' | 'rolled_back' | 'aborted'
  readonly to: string
  readonly from: readonly string[]
  readonly steps: readonly number[]
  /** From 1. */
  readonly step: number
  /** In percent. */
  readonly share: number
  readonly reason: string
  readonly waiting_for?: string
  readonly next?: RolloutCounts
  readonly present?: RolloutCounts
  readonly evidence?: readonly RolloutEvidence[]
  readonly history: readonly { readonly at: string; readonly event: string }[]
}

/** A model that could not be loaded. */
export interface FailedLoad {
  readonly modelName?: string
  readonly modelVersion?: string
  readonly modelUrl: string
  readonly reason: string
  readonly log?: readonly string[]
  readonly failedAt: string
}

/** A model that is being loaded. */
export interface RunningLoad {
  readonly modelName: string
  readonly modelVersion?: string
  readonly modelUrl?: string
  readonly startedAt?: string
}

/** An upload or download that is running. */
export interface Transfer {
  readonly kind: 'upload' | 'download'
  readonly fileName?: string
  readonly modelUrl?: string
  readonly bytes: number
  readonly totalBytes?: number
  readonly startedAt: string
}

/** The server itself. */
export interface ServerInfo {
  readonly version: string
  readonly node: string
  readonly pid: number
  readonly startedAt: string
  readonly state: 'STARTING' | 'READY' | 'STOPPING'
  readonly hasToken: boolean
  readonly savesState: boolean
  readonly totalVersions: number
}

/** The memory of models that load on demand. */
export interface ModelMemory {
  readonly budgetBytes: number
  readonly usedBytes: number
  readonly loadedModels: number
  readonly isThrashing: boolean
}

/** The front-end process. */
export interface ProcessInfo {
  readonly residentBytes: number
  readonly limitBytes: number
}

/** A line of the log. */
export type LogEntry = Readonly<Record<string, unknown>>

/** What is known of the server at a time. */
export interface Live {
  /** The server's clock, in milliseconds since 1970. */
  readonly time: number
  readonly server: ServerInfo
  readonly process: ProcessInfo
  readonly modelMemory: ModelMemory
  readonly loading: readonly RunningLoad[]
  readonly failed: readonly FailedLoad[]
  readonly transfers: readonly Transfer[]
  /** Sorted by name, then in the order of registration. */
  readonly versions: readonly Version[]
  readonly rollouts: readonly Rollout[]
  /** Lines of the log, oldest first. */
  readonly log: readonly LogEntry[]
}

/** An event of the stream. */
export interface LiveEvent {
  readonly time: number
  /** Whether it has every part, so that older ones are void. */
  readonly isAll: boolean
  /** New and changed parts by name. */
  readonly set: Readonly<Record<string, unknown>>
  /** Names of parts that no longer exist. */
  readonly gone: readonly string[]
  /** New lines of the log. */
  readonly log: readonly LogEntry[]
}

const VERSION_PART = 'model/'
const ROLLOUT_PART = 'rollout/'
/** Lines of the log that the page keeps. */
const MAX_LINES = 1000

/** The parts of the state, as the events have set them. */
export class LiveParts {
  #parts = new Map<string, unknown>()
  #log: readonly LogEntry[] = []

  /** Takes an event and returns the state after it; `undefined` until the first full event. */
  apply(event: LiveEvent): Live | undefined {
    if (event.isAll) {
      this.#parts = new Map()
      this.#log = []
    }
    for (const [name, value] of Object.entries(event.set)) this.#parts.set(name, value)
    for (const name of event.gone) this.#parts.delete(name)
    this.#log = [...this.#log, ...event.log].slice(-MAX_LINES)
    return this.#parts.has('server') ? this.#read(event.time) : undefined
  }

  /** The events come from the server of this page, so their form is not checked again. */
  #read(time: number): Live {
    const { server, process, modelMemory, loading, failed, transfers } = Object.fromEntries(
      this.#parts,
    ) as unknown as Live
    const versions = this.#partsOf(VERSION_PART) as Version[]
    return {
      time,
      server,
      process,
      modelMemory,
      loading,
      failed,
      transfers,
      versions: versions.toSorted((one, other) => one.name.localeCompare(other.name)),
      rollouts: this.#partsOf(ROLLOUT_PART) as Rollout[],
      log: this.#log,
    }
  }

  #partsOf(prefix: string): unknown[] {
    return [...this.#parts].flatMap(([name, value]) => (name.startsWith(prefix) ? [value] : []))
  }
}

/** Reads the data of an event. @throws Error if it is none. */
export function readEvent(data: string): LiveEvent {
  const value: unknown = JSON.parse(data)
  const isEvent = typeof value === 'object' && value !== null && 'set' in value && 'log' in value
  if (!isEvent) throw new Error('The server sent an event that the page does not know.')
  return value as LiveEvent
}
