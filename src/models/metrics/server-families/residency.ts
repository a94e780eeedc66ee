/** Metrics of the models that load on demand, and of the memory of all workers. */
import type { Registry } from 'prom-client'
import { memoryOfProcess } from '../../../system/process-identity.ts'
import { addCounter, addGauge, addHistogram } from '../families.ts'
import type { HistogramSample, Labels, Sample } from '../families.ts'
import type { ObservedVersion } from '../observed-version.ts'

const VERSION_LABELS = ['model', 'version']

/** The part of the model memory that is read. */
export interface ObservedMemory {
  readonly budgetBytes: number
  readonly usedBytes: number
  readonly loadedModels: number
  readonly isThrashing: boolean
}

/** Adds the families. */
export function addResidencyMetrics(
  registry: Registry,
  versions: () => readonly ObservedVersion[],
  memory: ObservedMemory | undefined,
): void {
  const onDemand = (): readonly ObservedVersion[] =>
    versions().filter(({ status }) => status.residency !== undefined)
  addCounter(
    registry,
    {
      name: 'onnxd_model_loads_total',
      help: 'Loads of a model that loads on demand.',
      labelNames: VERSION_LABELS,
    },
    () => onDemand().map((model): Sample => [labelsOf(model), model.statistics.loads]),
  )
  addCounter(
    registry,
    {
      name: 'onnxd_model_evictions_total',
      help: 'Unloads of a model that loads on demand, by cause.',
      labelNames: [...VERSION_LABELS, 'cause'],
    },
    () =>
      onDemand().flatMap((model) =>
        Object.entries(model.statistics.evictions).map(([cause, count]): Sample => [
          { ...labelsOf(model), cause },
          count,
        ]),
      ),
  )
  addHistogram(
    registry,
    {
      name: 'onnxd_cold_request_seconds',
      help: 'Time from acceptance to response of requests that came while no worker was ready.',
      labelNames: VERSION_LABELS,
    },
    () =>
      onDemand().map((model): HistogramSample => [labelsOf(model), model.statistics.coldSeconds]),
  )
  addGauge(
    registry,
    {
      name: 'onnxd_worker_memory_bytes',
      help: 'Memory of a worker process: private, shared with other processes, and proportional (PSS).',
      labelNames: [...VERSION_LABELS, 'worker', 'kind'],
    },
    async () => (await Promise.all(versions().flatMap(memoryOf))).flat(),
  )
  if (memory === undefined) return
  const gauges: readonly [name: string, help: string, read: () => number][] = [
    [
      'model_memory_budget_bytes',
      'Memory for models that load on demand.',
      () => memory.budgetBytes,
    ],
    ['model_memory_used_bytes', 'Memory of models that load on demand.', () => memory.usedBytes],
    ['models_loaded', 'Models that load on demand and are loaded.', () => memory.loadedModels],
    [
      'model_memory_thrashing',
      '1 while loads are slowed down, because models are loaded again soon after they were unloaded.',
      () => Number(memory.isThrashing),
    ],
  ]
  for (const [name, help, read] of gauges)
    addGauge(registry, { name: `onnxd_${name}`, help, labelNames: [] }, () => [[{}, read()]])
}

function labelsOf({ name, version }: ObservedVersion): Labels {
  return { model: name, version }
}

/** The samples of each worker with a running process. */
function memoryOf(model: ObservedVersion): Promise<Sample[]>[] {
  return model.status.workers.flatMap(({ id, worker: { pid, state } }) => {
    if (pid === undefined || state === 'stopped') return []
    const labels = { ...labelsOf(model), worker: String(id) }
    return memoryOfProcess(pid).then((memory): Sample[] => [
      [{ ...labels, kind: 'private' }, memory.privateBytes],
      [{ ...labels, kind: 'shared' }, memory.sharedBytes],
      [{ ...labels, kind: 'proportional' }, memory.proportionalBytes],
    ])
  })
}
