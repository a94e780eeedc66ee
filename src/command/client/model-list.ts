/** The models of a server, as its management listener describes them. */
import { didYouMean } from '../../closest-name.ts'
import type { VersionDescription } from '../../models/describe-version.ts'
import { memberOf } from '../json.ts'
import { ResponseError, notOnnxd } from './server-client.ts'
import type { ServerClient } from './server-client.ts'

/** One version of a model. */
export interface ListedVersion extends VersionDescription {
  readonly isDefault: boolean
}

/** The content of `GET /models`, all pages together. */
export interface ModelList {
  readonly names: readonly string[]
  readonly loading: readonly unknown[]
  readonly failed: readonly unknown[]
  readonly transfers: readonly unknown[]
}

/** Descriptions that are fetched at the same time. */
const PARALLEL = 8
/** Maximum number of pages: a million models. */
const MAX_PAGES = 10_000

/** Lists all models. */
export async function listAll(client: ServerClient): Promise<ModelList> {
  const names: string[] = []
  let next: unknown = '0'
  let page: unknown
  for (let pages = 0; typeof next === 'string'; pages++) {
    if (pages === MAX_PAGES) throw notOnnxd()
    page = await client.call('GET', `/models?limit=100&next_page_token=${encodeURIComponent(next)}`)
    if (!Array.isArray(memberOf(page, 'models'))) throw notOnnxd()
    names.push(...listOf(page, 'models').map((model) => String(memberOf(model, 'modelName'))))
    next = memberOf(page, 'nextPageToken')
  }
  return {
    names,
    loading: listOf(page, 'loading'),
    failed: listOf(page, 'failed'),
    transfers: listOf(page, 'transfers'),
  }
}

/** Describes every version of the models. A model that is unregistered meanwhile is left out. */
export async function describeModels(
  client: ServerClient,
  names: readonly string[],
): Promise<ListedVersion[]> {
  const results: ListedVersion[][] = []
  const queue = names.entries()
  const describeNext = async (): Promise<void> => {
    for (const [index, name] of queue) {
      try {
        results[index] = await describe(client, name)
      } catch (error) {
        if (!(error instanceof ResponseError && error.status === 404)) throw error
      }
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, describeNext))
  return results.flat()
}

/** A model, and a version unless the default is meant. */
export interface ModelReference {
  readonly name: string
  readonly version: string | undefined
}

/** Reads `name` or `name:version`. */
export function parseReference(text: string): ModelReference {
  const at = text.indexOf(':')
  return at === -1
    ? { name: text, version: undefined }
    : { name: text.slice(0, at), version: text.slice(at + 1) }
}

/** The path of a model or version. */
export function pathOf({ name, version }: ModelReference): string {
  const model = `/models/${encodeURIComponent(name)}`
  return version === undefined ? model : `${model}/${encodeURIComponent(version)}`
}

/**
 * Runs a request about a model. If the server does not have it, the error suggests the closest
 * name, or lists the versions.
 */
export async function aboutModel<T>(
  client: ServerClient,
  { name }: ModelReference,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error
    if (error.type === 'ModelNotFoundException') {
      const { names } = await listAll(client)
      const known = didYouMean(name, names) || ' Run "onnxd list" to list the models.'
      throw new Error(`The server has no model ${JSON.stringify(name)}.${known}`, { cause: error })
    }
    if (error.type === 'ModelVersionNotFoundException') {
      const versions = (await describe(client, name)).map(({ modelVersion }) => modelVersion)
      throw new Error(`${error.message}. Versions: ${versions.join(', ')}.`, { cause: error })
    }
    throw error
  }
}

async function describe(client: ServerClient, name: string): Promise<ListedVersion[]> {
  const route = pathOf({ name, version: undefined })
  const [all, main] = await Promise.all([
    client.call('GET', `${route}/all`),
    client.call('GET', route),
  ])
  const usual = memberOf(main, 'modelVersion')
  if (!Array.isArray(all) || !all.every(isDescription)) throw notOnnxd()
  return all.map((version) => ({ ...version, isDefault: version.modelVersion === usual }))
}

/** Whether a value has the members that the commands read. A server of another kind has not. */
export function isDescription(value: unknown): value is VersionDescription {
  const queue = memberOf(value, 'jobQueueStatus')
  return (
    typeof memberOf(value, 'modelVersion') === 'string' &&
    typeof memberOf(queue, 'pendingRequests') === 'number' &&
    Array.isArray(memberOf(value, 'workers'))
  )
}

function listOf(value: unknown, name: string): unknown[] {
  const member = memberOf(value, name)
  return Array.isArray(member) ? member : []
}
