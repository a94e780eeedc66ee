/** Finds the model of a request whose body names it. */
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import { codeText } from '../../model-folder/pipeline.ts'
import { asHandlerMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'
import { chooseVersion } from '../inference/choose-version.ts'

/**
 * Returns the model that the request names, as `name` or `name:version`; without a name, the only
 * model, or the only one for texts.
 * @param request Absent where no version is chosen by weights.
 * @throws ServerError 404 for an unknown model, 400 without a name or for a custom handler.
 */
export function requestedModel(
  registry: Registry,
  name: string | undefined,
  request?: FastifyRequest,
): ModelVersion {
  const [model, version] = name === undefined ? [onlyTextModel(registry).name] : partsOf(name)
  const chosen = request === undefined ? undefined : chooseVersion(registry, model, request)
  return withoutHandler(registry.get(model, version ?? chosen))
}

/** @throws ServerError 400 for a custom handler. */
export function withoutHandler(model: ModelVersion): ModelVersion {
  if (!model.prepared.hasCode) return model
  throw new ServerError(
    'BadRequestException',
    `The model ${model.name} ${codeText(model.prepared)}, which this path cannot use. Use /predictions/${model.name}.`,
  )
}

/** The name of the model in `name` or `name:version`. Names of models have no colon. */
export function baseName(name: string): string {
  return partsOf(name)[0]
}

function partsOf(name: string): readonly [model: string, version?: string] {
  const colon = name.indexOf(':')
  return colon < 0 ? [name] : [name.slice(0, colon), name.slice(colon + 1)]
}

function onlyTextModel(registry: Registry): ModelVersion {
  if (registry.only !== undefined) return registry.only
  const [first, ...others] = registry.all.filter(
    (model) => registry.isDefault(model) && asHandlerMetadata(model.metadata)?.text !== undefined,
  )
  if (first !== undefined && others.length === 0) return first
  throw new ServerError(
    'BadRequestException',
    '"model" is missing, and the server has not exactly one model for texts. GET /v1/models lists the names.',
  )
}
