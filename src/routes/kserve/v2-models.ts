/** Finding models for the dialects of KServe, with the error texts that Triton's clients look for. */
import { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'
import { shownName } from '../../models/sources/model-name.ts'

/**
 * A version of a model; the default version when none is named.
 * @throws ServerError 404 that starts with "Request for unknown model", or 503 while the model is being loaded.
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
 * Whether a version can be asked; one that is being loaded cannot yet.
 * @throws ServerError as {@link findModel} for a model that is not there.
 */
export function isReadyToServe(registry: Registry, name: string, version?: string): boolean {
  const isLoading = registry.loadOf(name, version) !== undefined
  if (isLoading && !registry.has(name, version)) return false
  return findModel(registry, name, version).status.isReady
}
