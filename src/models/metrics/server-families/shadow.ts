/** Metrics of shadow versions: copies of requests that are compared. */
import type { Registry } from 'prom-client'
import type { Distribution } from '../counts.ts'
import { addCounter, addHistogram } from '../families.ts'
import type { HistogramSample, Sample } from '../families.ts'

/** The part of a shadow that is read. */
export interface ObservedShadow {
  readonly name: string
  readonly version: string
  readonly counts: {
    readonly failed: number
    readonly compared: number
    readonly agreed: number
    readonly skipped: Readonly<Record<string, number>>
    readonly seconds: { readonly reference: Distribution; readonly shadow: Distribution }
  }
}

const VERSION_LABELS = ['model', 'version']

/** Adds the families. The label `version` is the shadow version. */
export function addShadows(registry: Registry, shadows: () => readonly ObservedShadow[]): void {
  addCounter(
    registry,
    {
      name: 'onnxd_shadow_copies_total',
      help: 'Requests that were copied to a shadow version, by outcome: agreed, disagreed, failed.',
      labelNames: [...VERSION_LABELS, 'outcome'],
    },
    () =>
      shadows().flatMap(({ name, version, counts: { agreed, compared, failed } }) =>
        Object.entries({ agreed, disagreed: compared - agreed, failed }).map(
          ([outcome, count]): Sample => [{ model: name, version, outcome }, count],
        ),
      ),
  )
  addCounter(
    registry,
    {
      name: 'onnxd_shadow_skipped_total',
      help: 'Requests that were not copied although their turn had come, by reason.',
      labelNames: [...VERSION_LABELS, 'reason'],
    },
    () =>
      shadows().flatMap(({ name, version, counts: { skipped } }) =>
        Object.entries(skipped).map(([reason, count]): Sample => [
          { model: name, version, reason },
          count,
        ]),
      ),
  )
  addHistogram(
    registry,
    {
      name: 'onnxd_shadow_run_seconds',
      help: 'Time of compared requests in workers, in seconds: role is reference or shadow.',
      labelNames: [...VERSION_LABELS, 'role'],
    },
    () =>
      shadows().flatMap(({ name, version, counts: { seconds } }) =>
        Object.entries(seconds).map(([role, values]): HistogramSample => [
          { model: name, version, role },
          values,
        ]),
      ),
  )
}
