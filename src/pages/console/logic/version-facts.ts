/** What the page says about a model version. */
import type { Counts, FailedLoad, Version, VersionState } from './live.ts'

/** What a state means for the operator. */
export type StateTone = 'good' | 'info' | 'warning' | 'bad' | 'neutral'

/** Text and meaning of a state. */
export const STATES: Readonly<Record<VersionState, readonly [text: string, tone: StateTone]>> = {
  READY: ['Ready', 'good'],
  PARTIAL: ['Partly ready', 'warning'],
  LOADING: ['Loading', 'info'],
  UNLOADED: ['Not in memory', 'neutral'],
  UNAVAILABLE: ['Unavailable', 'bad'],
  FAILED: ['Failed', 'bad'],
}

/** The most urgent state first. */
const ORDER: readonly VersionState[] = [
  'FAILED',
  'UNAVAILABLE',
  'PARTIAL',
  'LOADING',
  'READY',
  'UNLOADED',
]

/** Orders states by urgency. */
export function urgencyOf({ status }: Version): number {
  return ORDER.indexOf(status)
}

/** Whether somebody should look at a version. */
export function hasProblem({ status }: Version): boolean {
  return status === 'FAILED' || status === 'UNAVAILABLE' || status === 'PARTIAL'
}

/** Memory of the workers in bytes; shared memory is divided among those that share it. */
export function memoryOf({ workers }: Version): number {
  return workers.reduce((sum, { memory }) => sum + (memory?.proportionalBytes ?? 0), 0)
}

export function sumOfCounts(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

/** Number of responses since the registration. */
export function requestsOf({ statuses }: Version): number {
  return sumOfCounts(statuses)
}

/** The version that a step of a pipeline calls; `undefined` for a label, or if it is not there. */
export function stepVersion(
  all: readonly Version[],
  { model, version }: { readonly model: string; readonly version?: string },
): Version | undefined {
  return all.find(
    (one) =>
      one.name === model && (version === undefined ? one.isDefault : one.version === version),
  )
}

/** The newest failure of a worker, with the worker. */
export function lastFailureOf({ workers }: Version): string | undefined {
  return workers.find(({ lastFailure }) => lastFailure !== undefined)?.lastFailure
}

/** `name` and `version` as one text that no other version has. */
export function keyOf({ name, version }: Pick<Version, 'name' | 'version'>): string {
  return `${encodeURIComponent(name)}/${encodeURIComponent(version)}`
}

/** A model of the command line that was not found is known as `name=path`. */
export function nameOfFailed({ modelName, modelUrl }: FailedLoad): string {
  return modelName ?? /^([^=/]+)=/.exec(modelUrl)?.[1] ?? modelUrl
}
