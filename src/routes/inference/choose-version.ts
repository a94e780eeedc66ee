/** Chooses the version for a request that names none in its URL or body. */
import type { FastifyRequest } from 'fastify'
import type { Registry } from '../../models/registry.ts'
import type { Routing } from '../../models/routing/routing.ts'
import { textMember } from './text-member.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The version that the weights of the model have chosen. */
    chosenVersion: string | undefined
  }
}

/** In a request a version or label, in a response the version that the weights have chosen. */
export const VERSION_HEADER = 'onnxd-version'

/** What is read of a request. */
type RoutedRequest = Pick<FastifyRequest, 'headers' | 'query' | 'body' | 'chosenVersion'>

/**
 * Returns the version or label that the header names, else the one that the weights choose. The
 * choice is kept, because it is asked for before and after the body arrives. Returns `undefined`
 * for the default version.
 */
export function chooseVersion(
  registry: Registry,
  model: string,
  request: RoutedRequest,
): string | undefined {
  const named = request.headers[VERSION_HEADER]
  if (typeof named === 'string' && named !== '') return named
  const { routing } = registry
  const { chosenVersion: before } = request
  // A version may be removed while the body arrives.
  if (before !== undefined && registry.has(model, before)) return before
  const sticky = routing.stickyOf(model)
  // The key is in the body, which has not arrived yet.
  if (sticky?.field !== undefined && request.body === undefined) return undefined
  request.chosenVersion = routing.choose(model, () => keyOf(request, sticky))
  return request.chosenVersion
}

function keyOf(
  { headers, query, body }: RoutedRequest,
  sticky: Routing['sticky'],
): string | undefined {
  if (sticky === undefined) return undefined
  const { header, query: parameter, field } = sticky
  if (header !== undefined) return textOf(headers[header.toLowerCase()])
  if (parameter !== undefined) return textOf((query as Record<string, unknown>)[parameter])
  return field !== undefined && Buffer.isBuffer(body) ? textMember(body, field) : undefined
}

function textOf(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value[0] : value
  return typeof one === 'string' && one !== '' ? one : undefined
}
