/**
 * Finds models for the REST dialects of KServe, with the error texts that Triton's clients expect.
 */
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'
import { shownName } from '../../models/sources/model-name.ts'
import { chooseVersion } from '../inference/choose-version.ts'
import type { RouteContext } from '../route-context.ts'

/**
 * Returns a version of a model, or the default version if `version` is absent.
 * @throws ServerError 404 that starts with "Request for unknown model", or 503 while the model is
 * being loaded.
 */
export function findModel(registry: Registry, name: string, version?: string): ModelVersion {
  try {
    return registry.get(name, version)
  } catch (cause) {
    if (!(cause instanceof ServerError) || cause.statusCode !== 404) throw cause
    const model = `'${shownName(name)}'`
    const which = version === undefined ? model : `${model} version ${shownName(version)}`
    throw new ServerError(cause.type, `Request for unknown model: ${which} is not found`, { cause })
  }
}

/**
 * Returns the version for a request that names none in its URL.
 * @throws ServerError as {@link findModel}.
 */
export function chosenModel(
  registry: Registry,
  request: FastifyRequest<{ Params: { model: string } }>,
): ModelVersion {
  const { model } = request.params
  return findModel(registry, model, chooseVersion(registry, model, request))
}

/** Whether a model can serve requests now, as the routes of readiness send it. */
export interface Readiness {
  readonly name: string
  readonly ready: boolean
  /** Of a pipeline: its first step that cannot serve. Or that another HTTP process cannot. */
  readonly reason?: string
}

/**
 * Whether a version can serve requests. A version that is being loaded cannot, and a pipeline
 * cannot without the models of its steps.
 * @throws ServerError as {@link findModel} for an unknown model.
 */
export function readinessOf(
  { registry, isStopping }: Pick<RouteContext, 'registry' | 'isStopping'>,
  name: string,
  version?: string,
): Readiness {
  const isLoading = registry.loads.isLoading(name, version) && !registry.has(name, version)
  if (isStopping() || isLoading) return { name, ready: false }
  const { isReady, missingStep } = findModel(registry, name, version).status
  return { name, ready: isReady, ...(missingStep !== undefined && { reason: missingStep }) }
}
