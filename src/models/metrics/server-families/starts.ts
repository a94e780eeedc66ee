import type { Registry } from 'prom-client'
import { addCounter, addGauge } from '../families.ts'
import type { Sample } from '../families.ts'

/** The part of the factory of workers that is read. */
export interface WorkerStarts {
  /** Workers by the process that they got. */
  readonly starts: { readonly plain: number; readonly spare: number }
  readonly spares: { readonly counts: { readonly starting: number; readonly ready: number } }
}

/** Adds the starts of workers, and the processes that wait for a model. */
export function addStarts(registry: Registry, factory: WorkerStarts): void {
  addCounter(
    registry,
    {
      name: 'onnxd_worker_starts_total',
      help: 'Started workers by their process: a new one, or a spare one.',
      labelNames: ['kind'],
    },
    () => Object.entries(factory.starts).map(([kind, count]): Sample => [{ kind }, count]),
  )
  addGauge(
    registry,
    {
      name: 'onnxd_spare_workers',
      help: 'Spare workers by state: processes that wait for a model.',
      labelNames: ['state'],
    },
    () => Object.entries(factory.spares.counts).map(([state, count]): Sample => [{ state }, count]),
  )
}
