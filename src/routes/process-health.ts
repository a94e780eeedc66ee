/** Whether the models of one HTTP process can serve. */
import { ServerError } from '../errors.ts'
import type { ModelVersion } from '../models/model-version.ts'
import type { Registry } from '../models/registry.ts'

/** The workers of all models, or of one. */
export interface Health {
  /**
   * Whether each version has a worker, or gets one when a request comes. If one model is looked at,
   * also whether the steps of a pipeline have.
   */
  readonly isReady: boolean
  readonly readyWorkers: number
  readonly wantedWorkers: number
}

/** A model; its default version if none is given. */
export interface ModelPlace {
  readonly name: string
  readonly version?: string | undefined
}

/** A model that is not served is not ready. @param place Absent for all models. */
export function healthOf(registry: Registry, place?: ModelPlace): Health {
  const models = place === undefined ? registry.all : versionsAt(registry, place)
  let isReady = place === undefined || models.length > 0
  let readyWorkers = 0
  let wantedWorkers = 0
  for (const { status } of models) {
    isReady &&= place === undefined ? status.hasWorker : status.isReady
    readyWorkers += Math.min(status.readyWorkers, status.wantedWorkers)
    wantedWorkers += status.wantedWorkers
  }
  return { isReady, readyWorkers, wantedWorkers }
}

function versionsAt(registry: Registry, { name, version }: ModelPlace): readonly ModelVersion[] {
  try {
    return [registry.get(name, version)]
  } catch (error) {
    if (error instanceof ServerError) return []
    throw error
  }
}
