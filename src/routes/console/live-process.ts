/** What the console shows of one HTTP process, and the sum over several. */
import process from 'node:process'
import { commonStatus } from '../../models/describe-version.ts'
import type { ObservedMemory, ServerMetrics } from '../../models/metrics/page.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'
import { describeLive } from './version-part.ts'
import type { LiveHistogram, LiveVersion } from './version-part.ts'

type Counts = Readonly<Record<string, number>>

/** Live data of one process, or of all. */
export interface LiveProcess {
  readonly residentBytes: number
  readonly modelMemory: {
    readonly budgetBytes: number
    readonly usedBytes: number
    readonly loadedModels: number
    readonly isThrashing: boolean
  }
  readonly responses: { readonly inference: Counts; readonly management: Counts }
  /** Without the memory of workers. */
  readonly versions: readonly LiveVersion[]
}

/** Maximum number of model versions. A server can have many thousands that nobody uses. */
const MAX_VERSIONS = 500

/** Reads the data of this process. */
export function liveProcess({
  registry,
  metrics,
  modelMemory,
}: {
  readonly registry: Registry
  readonly metrics: ServerMetrics
  readonly modelMemory: ObservedMemory
}): LiveProcess {
  return {
    residentBytes: process.memoryUsage.rss(),
    modelMemory: {
      budgetBytes: modelMemory.budgetBytes,
      usedBytes: modelMemory.usedBytes,
      loadedModels: modelMemory.loadedModels,
      isThrashing: modelMemory.isThrashing,
    },
    responses: {
      inference: Object.fromEntries(metrics.responses.inference.entries),
      management: Object.fromEntries(metrics.responses.management.entries),
    },
    versions: mostActive(registry.all).map((model) =>
      describeLive(model, registry.isDefault(model), () => undefined),
    ),
  }
}

/** Versions with workers or requests first, if there are too many. */
function mostActive(all: readonly ModelVersion[]): readonly ModelVersion[] {
  if (all.length <= MAX_VERSIONS) return all
  const isActive = (model: ModelVersion): boolean =>
    model.status.workers.length > 0 || !model.statistics.isUntouched
  const active = all.filter(isActive)
  const others = all.filter((model) => !isActive(model))
  return [...active, ...others].slice(0, MAX_VERSIONS)
}

/** Adds the data of other processes, by their numbers, to those of process 0. */
export function addProcesses(
  own: LiveProcess,
  others: ReadonlyMap<number, LiveProcess>,
): LiveProcess {
  const all = [own, ...others.values()]
  const memories = all.map(({ modelMemory }) => modelMemory)
  return {
    residentBytes: sum(all, ({ residentBytes }) => residentBytes),
    modelMemory: {
      budgetBytes: sum(memories, ({ budgetBytes }) => budgetBytes),
      usedBytes: sum(memories, ({ usedBytes }) => usedBytes),
      loadedModels: sum(memories, ({ loadedModels }) => loadedModels),
      isThrashing: memories.some(({ isThrashing }) => isThrashing),
    },
    responses: {
      inference: addCounts(all.map(({ responses }) => responses.inference)),
      management: own.responses.management,
    },
    versions: own.versions.map((version) => {
      const same = [...others].flatMap(([shard, { versions }]) => {
        const found = versions.find(
          (one) => one.name === version.name && one.version === version.version,
        )
        return found === undefined ? [] : [{ shard, version: found }]
      })
      return addVersions(version, same)
    }),
  }
}

function addVersions(
  own: LiveVersion,
  others: readonly { readonly shard: number; readonly version: LiveVersion }[],
): LiveVersion {
  const all = [own, ...others.map(({ version }) => version)]
  const total = (
    key: 'readyWorkers' | 'queued' | 'queuedBytes' | 'running' | 'capacity' | 'loads',
  ) => sum(all, (version) => version[key])
  const counts = (key: 'statuses' | 'rejections' | 'restarts' | 'evictions'): Counts =>
    addCounts(all.map((version) => version[key]))
  const queueSeconds = addHistograms(all.map((version) => version.queueSeconds))
  const workerSeconds = addHistograms(all.map((version) => version.workerSeconds))
  const batches = all.flatMap((version) => version.batches ?? [])
  return {
    ...own,
    status: commonStatus(all.map(({ status }) => status)),
    readyWorkers: total('readyWorkers'),
    queued: total('queued'),
    queuedBytes: total('queuedBytes'),
    running: total('running'),
    capacity: total('capacity'),
    loads: total('loads'),
    statuses: counts('statuses'),
    rejections: counts('rejections'),
    restarts: counts('restarts'),
    evictions: counts('evictions'),
    lastRequestAt: Math.max(...all.map(({ lastRequestAt }) => lastRequestAt)),
    ...(queueSeconds !== undefined && { queueSeconds }),
    ...(workerSeconds !== undefined && { workerSeconds }),
    ...(batches.length > 0 && {
      batches: {
        count: sum(batches, ({ count }) => count),
        requests: sum(batches, ({ requests }) => requests),
      },
    }),
    workers: [
      ...own.workers,
      ...others.flatMap(({ shard, version }) =>
        version.workers.map((worker) => ({ ...worker, id: `${shard}.${worker.id}` })),
      ),
    ],
  }
}

/** All histograms of one kind have the same bounds. */
function addHistograms(all: readonly (LiveHistogram | undefined)[]): LiveHistogram | undefined {
  const known = all.filter((one) => one !== undefined)
  const [first] = known
  if (first === undefined) return undefined
  return {
    bounds: first.bounds,
    cumulative: first.cumulative.map((_, index) =>
      sum(known, ({ cumulative }) => cumulative[index] ?? 0),
    ),
    sum: sum(known, (one) => one.sum),
  }
}

function addCounts(all: readonly Counts[]): Counts {
  const total: Record<string, number> = {}
  for (const counts of all)
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count
  return total
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
