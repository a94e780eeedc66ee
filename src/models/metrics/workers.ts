import type { Registry } from 'prom-client'
import { residentBytes } from '../../system/process-identity.ts'
import type { PoolWorker } from '../scheduling/pool.ts'
import { addGauge } from './families.ts'
import type { Sample } from './families.ts'
import { VERSION_LABELS, labelsOf } from './observed-version.ts'
import type { ObservedVersion } from './observed-version.ts'

const WORKER_STATES: readonly PoolWorker['state'][] = [
  'starting',
  'loading',
  'ready',
  'stopping',
  'stopped',
]

/** Adds the workers by state, and their memory. */
export function addWorkers(registry: Registry, versions: () => readonly ObservedVersion[]): void {
  const workers = {
    name: 'onnxd_workers',
    help: 'Workers by state.',
    labelNames: [...VERSION_LABELS, 'state'],
  }
  addGauge(registry, workers, () =>
    versions().flatMap((model) =>
      WORKER_STATES.map((state): Sample => {
        const inState = model.status.workers.filter(({ worker }) => worker.state === state)
        return [{ ...labelsOf(model), state }, inState.length]
      }),
    ),
  )
  const memory = {
    name: 'onnxd_worker_resident_bytes',
    help: 'Resident memory of a worker process, in bytes.',
    labelNames: [...VERSION_LABELS, 'worker'],
  }
  addGauge(registry, memory, () => Promise.all(versions().flatMap(residentMemory)))
}

/** One sample per worker with a running process. */
function residentMemory(model: ObservedVersion): Promise<Sample>[] {
  return model.status.workers.flatMap(({ id, worker: { pid, state } }) => {
    if (pid === undefined || state === 'stopped') return []
    const labels = { ...labelsOf(model), worker: String(id) }
    return residentBytes(pid).then((bytes): Sample => [labels, bytes])
  })
}
