/** Reads the state of models from a server. It needs a management listener without a token. */
import assert from 'node:assert/strict'
import { json } from './server.ts'
import type { TestServer } from './server.ts'

/** A model that could not be loaded, from `GET /models`. */
export interface FailedModel {
  readonly modelName?: string
  readonly modelUrl: string
  readonly reason: string
  readonly log?: string[]
}

/** A worker, from `GET /models/{model}`. */
export interface WorkerInfo {
  readonly id: string
  readonly pid: number
  readonly status: string
  readonly restarts: number
  readonly lastFailure?: string
}

interface ModelList {
  readonly models: { readonly modelName: string }[]
  readonly failed?: FailedModel[]
}

interface Description {
  readonly workers: WorkerInfo[]
  readonly jobQueueStatus: { readonly pendingRequests: number }
}

/** Names of the registered models, sorted. */
export async function modelNames(server: TestServer): Promise<string[]> {
  const { models } = (await read(server, '/models')) as ModelList
  return models.map(({ modelName }) => modelName)
}

/** Models that could not be loaded. */
export async function failedModels(server: TestServer): Promise<FailedModel[]> {
  return ((await read(server, '/models')) as ModelList).failed ?? []
}

/** Workers of a model's default version. */
export async function workersOf(server: TestServer, model: string): Promise<WorkerInfo[]> {
  return ((await read(server, `/models/${model}`)) as Description).workers
}

/** Process ids of the workers of a model's default version. */
export async function workerPids(server: TestServer, model: string): Promise<number[]> {
  return (await workersOf(server, model)).map(({ pid }) => pid)
}

/** Process ids of the workers of every version of every model. */
export async function allWorkerPids(server: TestServer): Promise<number[]> {
  const { models } = (await read(server, '/models?limit=1000')) as ModelList
  const versions = await Promise.all(
    models.map(async ({ modelName }) => read(server, `/models/${modelName}/all`)),
  )
  return (versions as Description[][])
    .flat()
    .flatMap(({ workers }) => workers.map(({ pid }) => pid))
}

/** Number of requests in the queue of a model's default version. */
export async function queuedRequests(server: TestServer, model: string): Promise<number> {
  return ((await read(server, `/models/${model}`)) as Description).jobQueueStatus.pendingRequests
}

/** Number of requests to a model's default version that wait or run. */
export async function acceptedRequests(server: TestServer, model: string): Promise<number> {
  const page = await (await server.manage('/metrics?name[]=onnxd_inflight_requests')).text()
  const series = [...page.matchAll(/^onnxd_inflight_requests\{model="([^"]+)".*\} (\d+)$/gm)]
  return series
    .filter(([, name]) => name === model)
    .reduce((sum, [, , count]) => sum + Number(count), 0)
}

async function read(server: TestServer, route: string): Promise<unknown> {
  const answer = await server.manage(route)
  assert.equal(answer.status, 200, route)
  return json(answer)
}
