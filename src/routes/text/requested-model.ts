/** Finds the model of a request whose body names it. */
import { ServerError } from '../../errors.ts'
import { asHandlerMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])

/**
 * Returns the model that the request names, as `name` or `name:version`; without a name, the only
 * model, or the only one for texts.
 * @throws ServerError 404 for an unknown model, 400 without a name or for a custom handler.
 */
export function requestedModel(registry: Registry, name: string | undefined): ModelVersion {
  return withoutHandler(name === undefined ? onlyTextModel(registry) : named(registry, name))
}

/** @throws ServerError 400 for a custom handler. */
export function withoutHandler(model: ModelVersion): ModelVersion {
  if (!model.prepared.hasCode) return model
  throw new ServerError(
    'BadRequestException',
    `The model ${model.name} has a custom handler, which this path cannot use. Use /predictions/${model.name}.`,
  )
}

/** Names of models have no colon. */
function named(registry: Registry, name: string): ModelVersion {
  const colon = name.indexOf(':')
  return colon < 0 ? registry.get(name) : registry.get(name.slice(0, colon), name.slice(colon + 1))
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

/**
 * Returns the text of a member of the outermost JSON object, without parsing the rest: a body may
 * have megabytes of texts. Returns `undefined` if there is no such text. The worker checks the
 * JSON.
 */
export function textMember(body: Buffer, member: string): string | undefined {
  let depth = 0
  let name: string | undefined
  for (let index = 0; index < body.length; index += 1) {
    const code = body[index] ?? 0
    if (code === QUOTE) {
      const end = endOfString(body, index)
      if (depth === 1) {
        if (name === member) return stringOf(body.toString('utf8', index, end + 1))
        name = isFollowedByColon(body, end) ? body.toString('utf8', index + 1, end) : undefined
      }
      index = end
    } else if (OPENING.has(code)) depth += 1
    else if (CLOSING.has(code)) depth -= 1
    else if (code === COMMA && depth === 1) name = undefined
  }
  return undefined
}

function isFollowedByColon(body: Buffer, end: number): boolean {
  let index = end + 1
  while (/\s/.test(String.fromCharCode(body[index] ?? 0))) index += 1
  return body[index] === COLON
}

/** The index of the closing quote of the string that begins at `start`; the end without one. */
function endOfString(body: Buffer, start: number): number {
  for (let end = body.indexOf(QUOTE, start + 1); end >= 0; end = body.indexOf(QUOTE, end + 1)) {
    let slashes = 0
    while (body[end - 1 - slashes] === BACKSLASH) slashes += 1
    if (slashes % 2 === 0) return end
  }
  return body.length
}

function stringOf(written: string): string | undefined {
  try {
    const value: unknown = JSON.parse(written)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
