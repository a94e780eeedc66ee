/** What the programs with generated clients have to call, and what a plain request gets. */
import assert from 'node:assert/strict'
import { json } from '../../helpers/server.ts'
import type { TestServer } from '../../helpers/server.ts'

/** One call of a model. */
export interface Call {
  /** Name of the group of operations. */
  readonly api: string
  readonly operation: string
  /** Names of the schemas of the request and of the answer. */
  readonly schema: string
  readonly answerSchema: string
  readonly body: unknown
  /** What `fetch` gets for the same body. */
  readonly expected: unknown
}

interface Media {
  readonly schema: { readonly $ref?: string }
  readonly examples?: { readonly smallest: { readonly value: unknown } }
}
interface Content {
  readonly content?: { readonly 'application/json'?: Media }
}
interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly requestBody?: Content
  readonly responses: { readonly 200?: Content }
}
/** The part of a document that the calls come from. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

/**
 * Removes the paths of model versions from a document, except those of `simple`, because they
 * double the compile time.
 */
export function withoutVersions(document: Document): Document {
  const paths = Object.fromEntries(
    Object.entries(document.paths).filter(
      ([route]) => !IS_VERSION.test(route) || route.includes('/simple/'),
    ),
  )
  const kept: Record<string, unknown> = {}
  const keep = (value: unknown): void => {
    for (const [, name = ''] of JSON.stringify(value).matchAll(
      /"#\/components\/schemas\/([^"]+)"/g,
    )) {
      if (name in kept) continue
      kept[name] = document.components.schemas[name]
      keep(kept[name])
    }
  }
  keep(paths)
  return { ...document, paths, components: { ...document.components, schemas: kept } }
}

const IS_VERSION = /^\/predictions\/[^/{]+\/[^/{]+$|^\/v2\/models\/[^/{]+\/versions\/[^/{]+\/infer$/

interface Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/**
 * A call for each operation of a model with JSON bodies. Of the versions, only those of `simple`.
 */
export async function callsOf(document: Document, server: TestServer): Promise<Call[]> {
  const calls: Call[] = []
  for (const [route, { post }] of Object.entries(document.paths)) {
    const [, model] =
      /^\/predictions\/([^/{]+)$/.exec(route) ?? /^\/v2\/models\/([^/{]+)\/infer$/.exec(route) ?? []
    const isVersion = /^\/(predictions|v2\/models)\/simple\/(versions\/)?\d+/.test(route)
    if (post === undefined || (model === undefined && !isVersion)) continue
    const media = post.requestBody?.content?.['application/json']
    const answer = post.responses[200]?.content?.['application/json']
    if (media?.schema.$ref === undefined || answer?.schema.$ref === undefined) continue
    const body = media.examples?.smallest.value ?? (await largeBody(server, model ?? '', route))
    const response = await server.fetch(route, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const expected = await json(response)
    assert.equal(response.status, 200, `${route}: ${JSON.stringify(expected)}`)
    const { operationId, tags } = post
    calls.push({
      api: tags[0] ?? '',
      operation: operationId,
      schema: nameOf(media.schema.$ref),
      answerSchema: nameOf(answer.schema.$ref),
      body,
      expected,
    })
  }
  return calls
}

function nameOf(reference: string): string {
  return reference.split('/').at(-1) ?? ''
}

/** A request with as many elements as a model wants; documents have examples only of small ones. */
async function largeBody(server: TestServer, model: string, route: string): Promise<unknown> {
  const { inputs } = (await json(await server.fetch(`/v2/models/${model}`))) as { inputs: Tensor[] }
  const tensors = inputs.map(({ name, datatype, shape }) => ({
    name,
    datatype,
    shape: shape.map((size) => Math.max(size, 1)),
  }))
  if (route.startsWith('/predictions/')) {
    return Object.fromEntries(tensors.map(({ name, shape }) => [name, nested(shape)]))
  }
  return { inputs: tensors.map((tensor) => ({ ...tensor, data: flat(tensor.shape) })) }
}

function flat(shape: readonly number[]): number[] {
  return Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => 0.5)
}

function nested(shape: readonly number[]): unknown {
  return shape.reduceRight<unknown>((inner, size) => Array.from({ length: size }, () => inner), 0.5)
}

/** The same data, numbers as 32-bit floats: clients in Java and Go have no more of an FP32. */
export function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Math.fround(value)
  if (Array.isArray(value)) return value.map(rounded)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, rounded(one)]))
}
