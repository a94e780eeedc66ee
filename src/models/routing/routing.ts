/** How the requests of a model are divided among its versions. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'
import { fits, problemWith } from '../../schema.ts'
import { MODEL_NAME_PATTERN } from '../sources/model-name.ts'

/** The sum of the weights; each weight is then exact in 53 bits. */
const MAX_WEIGHT = 1_000_000
const MAX_ENTRIES = 100

const Name = Type.String({ pattern: MODEL_NAME_PATTERN.source })
const KeyName = Type.String({ minLength: 1, maxLength: 100 })

export const RoutingSchema = Type.Object(
  {
    labels: Type.Optional(
      Type.Record(Name, Name, {
        maxProperties: MAX_ENTRIES,
        additionalProperties: false,
        description: 'For each label, the version that it names. Requests may name a label.',
      }),
    ),
    weights: Type.Optional(
      Type.Record(Name, Type.Integer({ minimum: 0, maximum: MAX_WEIGHT }), {
        maxProperties: MAX_ENTRIES,
        additionalProperties: false,
        description:
          'For labels or versions, their share of the requests that name no version, relative to the sum. Without weights, the default version gets them.',
      }),
    ),
    sticky: Type.Optional(
      Type.Object(
        {
          header: Type.Optional(KeyName),
          query: Type.Optional(KeyName),
          field: Type.Optional(KeyName),
        },
        {
          additionalProperties: false,
          minProperties: 1,
          maxProperties: 1,
          description:
            'Requests with the same value go to the same version: of a header, a parameter of the query, or a text in the outermost object of a JSON body. Requests without the value are divided by chance.',
        },
      ),
    ),
  },
  { additionalProperties: false, $id: 'Routing' },
)

/** Labels, and the shares of versions. */
export type Routing = Static<typeof RoutingSchema>

/**
 * Checks a routing from outside.
 * @param versions The versions of the model.
 * @throws ServerError 400, 404 for a version that does not exist.
 */
export function checkRouting(value: unknown, model: string, versions: readonly string[]): Routing {
  if (!fits(RoutingSchema, value)) {
    throw badRequest(`The routing is not valid: ${problemWith(RoutingSchema, value) ?? ''}.`)
  }
  const { labels = {}, weights } = value
  for (const [label, version] of Object.entries(labels)) {
    if (versions.includes(label)) throw badRequest(`The label ${label} is the name of a version.`)
    if (!versions.includes(version)) throw unknownVersion(model, version)
  }
  if (weights === undefined) return value
  const wanted = Object.keys(weights).find(
    (name) => !Object.hasOwn(labels, name) && !versions.includes(name),
  )
  if (wanted !== undefined) throw unknownVersion(model, wanted)
  const sum = Object.values(weights).reduce((total, weight) => total + weight, 0)
  if (sum === 0) throw badRequest('One of the weights must be above 0.')
  return value
}

/** The version that a label names. */
export function versionOfLabel({ labels }: Routing, label: string): string | undefined {
  return labels !== undefined && Object.hasOwn(labels, label) ? labels[label] : undefined
}

/** Names of labels and weights that need a version. */
export function usesOf(routing: Routing, version: string): readonly string[] {
  const { labels = {}, weights = {} } = routing
  const named = Object.keys(labels).filter((label) => labels[label] === version)
  return Object.hasOwn(weights, version) ? [...named, version] : named
}

/** Leaves out labels and weights of versions that are gone. Returns `undefined` if none is left. */
export function withoutMissing(
  { labels = {}, weights = {}, sticky }: Routing,
  has: (version: string) => boolean,
): Routing | undefined {
  const kept = Object.fromEntries(Object.entries(labels).filter(([, version]) => has(version)))
  const shares = Object.fromEntries(
    Object.entries(weights).filter(([name]) => Object.hasOwn(kept, name) || has(name)),
  )
  const hasShares = Object.values(shares).some((weight) => weight > 0)
  if (Object.keys(kept).length === 0 && !hasShares) return undefined
  return {
    labels: kept,
    ...(hasShares && { weights: shares }),
    ...(hasShares && sticky !== undefined && { sticky }),
  }
}

function unknownVersion(model: string, version: string): ServerError {
  const text = `Model version: ${version} does not exist for model: ${model}`
  return new ServerError('ModelVersionNotFoundException', text)
}

function badRequest(message: string): ServerError {
  return new ServerError('BadRequestException', message)
}
