/** A model whose versions behave differently, and clients that send requests to it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { ShownRollout } from '../../src/models/rollout/shown-rollout.ts'
import { json, temporaryFolder, until } from './server.ts'
import type { Cleanup, TestServer } from './server.ts'

/** How a version behaves. */
export interface VersionBehaviour {
  /** Duration of each batch. */
  readonly delayMs: number
  /** Whether a request with the text `crash` kills the worker. */
  readonly crashes?: boolean
  /** Whether the response to a text that ends with 0 or 5 is wrong. */
  readonly errs?: boolean
  /** Default 8. A crash ends all requests of its batch, because handlers may not be repeatable. */
  readonly batchSize?: number
}

/** Writes a model called `tool` with these versions and returns its folder. */
export function behavingModel(
  t: Cleanup,
  versions: Readonly<Record<string, VersionBehaviour>>,
): string {
  const folder = path.join(temporaryFolder(t), 'tool')
  for (const [version, behaviour] of Object.entries(versions)) {
    const { delayMs, crashes = false, errs = false, batchSize = 8 } = behaviour
    const own = path.join(folder, version)
    mkdirSync(path.join(own, 'MAR-INF'), { recursive: true })
    const settings = { handler: 'service.mjs:handle', batchSize, maxBatchDelay: 0, workers: 1 }
    writeFileSync(path.join(own, 'model.json'), JSON.stringify(settings))
    writeFileSync(
      path.join(own, 'service.mjs'),
      `export async function handle(data) {
  if (data === undefined || data === null) return
  const texts = data.map(({ body }) => String(body ?? ''))
  if (${crashes} && texts.includes('crash')) process.kill(process.pid, 'SIGSEGV')
  await new Promise((resolve) => setTimeout(resolve, ${delayMs}))
  return texts.map((text) => (${errs} && /[05]$/.test(text) ? text + ' or so' : text))
}
`,
    )
  }
  return folder
}

/** Sends JSON to a management path of the model. */
export async function call(
  server: TestServer,
  method: string,
  route: string,
  body?: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers = { 'content-type': 'application/json' }
  const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) }
  const response = await server.manage(`/models/tool${route}`, init)
  return { status: response.status, body: (await json(response)) as Record<string, unknown> }
}

/** The rollout of the model that runs, or the last one. */
export async function rolloutOf(server: TestServer): Promise<ShownRollout> {
  return (await call(server, 'GET', '/rollout')).body as unknown as ShownRollout
}

/** Waits for the end of the rollout. */
export function endedRollout(server: TestServer, ms = 90_000): Promise<ShownRollout> {
  return until(async () => {
    const rollout = await rolloutOf(server)
    return rollout.state !== 'running' && rollout
  }, ms)
}

/** A response with another status than 200; the status is 0 if the connection was lost. */
export interface FailedRequest {
  readonly body: string
  readonly status: number
  readonly text: string
}

/** Clients that send one request after another. */
export interface Clients {
  readonly failed: readonly FailedRequest[]
  /** Responses by the version in their header. */
  readonly versions: ReadonlyMap<string | null, number>
  stop(): Promise<void>
}

const CLIENTS = 12

/** @param bodyOf Returns the body of the request with this number. */
export function startClients(server: TestServer, bodyOf: (index: number) => string): Clients {
  const failed: FailedRequest[] = []
  const versions = new Map<string | null, number>()
  let isOver = false
  let count = 0
  const run = async (): Promise<void> => {
    while (!isOver) {
      const body = bodyOf((count += 1))
      const headers = { 'content-type': 'text/plain', 'x-user': `user-${count % 100}` }
      try {
        const response = await server.fetch('/predictions/tool', { method: 'POST', body, headers })
        const text = await response.text()
        const version = response.headers.get('onnxd-version')
        versions.set(version, (versions.get(version) ?? 0) + 1)
        if (response.status !== 200) failed.push({ body, status: response.status, text })
      } catch (error) {
        failed.push({ body, status: 0, text: String(error) })
        return
      }
    }
  }
  const running = Promise.all(Array.from({ length: CLIENTS }, run))
  return {
    failed,
    versions,
    stop: async () => {
      isOver = true
      await running
    },
  }
}
