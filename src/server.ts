/** From settings to a running server: runtime folder, registry, two listeners, the models of the start. */
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { buildInferenceApp, buildManagementApp } from './app.ts'
import { ConfigError } from './config.ts'
import type { Config } from './config.ts'
import { messageOf } from './errors.ts'
import { ServerMetrics } from './models/metrics.ts'
import type { ModelVersion } from './models/model-version.ts'
import { Registry } from './models/registry.ts'
import type { FailedModel } from './models/registry.ts'
import { listStore, prepareFromArgument, prepareFromUrl } from './models/source.ts'
import type { PreparedModel, SourceOptions } from './models/source.ts'
import { WorkerFactory } from './models/worker-factory.ts'
import { OpenRequests } from './routes/open-requests.ts'
import type { App, RouteContext } from './routes/route-context.ts'
import { RuntimeDirectory } from './worker/host/runtime-directory.ts'

/** What {@link startServer} needs. */
export interface ServerOptions {
  readonly config: Config
  /** MODEL arguments: paths, or `name=path`. */
  readonly models: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  readonly log: Logger
}

/** A listening server. */
export interface RunningServer {
  readonly inferenceUrl: string
  readonly managementUrl: string
  readonly registry: Registry
  /** Models of the start, in the order they were named. */
  readonly loaded: readonly ModelVersion[]
  readonly failed: readonly FailedModel[]
  /** Refuses new work, finishes accepted work within the drain timeout, ends workers and listeners. Safe to call again. */
  close(): Promise<void>
}

/** Models that load at the same time: more only compete for the cores. */
const PARALLEL_LOADS = 2
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

/**
 * Listens first, so that probes get an honest answer during long loads, then loads the models.
 * @throws ConfigError when management would be open to everybody; whatever `listen` throws.
 */
export async function startServer({
  config,
  models,
  environment,
  log,
}: ServerOptions): Promise<RunningServer> {
  refuseOpenManagement(config)
  const runtime = new RuntimeDirectory()
  const removeRuntime = (): void => runtime.remove()
  process.once('exit', removeRuntime)
  const factory = new WorkerFactory(config, runtime, environment, log)
  const registry = new Registry({ config, factory, log })
  const metrics = new ServerMetrics(() => registry.all)
  let isAccepting = false
  const sources: SourceOptions = {
    modelStore: config.modelStore === '' ? undefined : config.modelStore,
    temporaryRoot: runtime.path,
    allowLocalPaths: config.allowLocalPaths,
  }
  const context: RouteContext = {
    config,
    registry,
    metrics,
    sources,
    isAccepting: () => isAccepting,
  }
  const requests: OpenRequests[] = []

  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    isAccepting = false
    const drainMs = config.drainTimeout * 1000
    await Promise.all([
      ...requests.map((open) => open.close(drainMs, log)),
      registry.close(drainMs),
    ])
    await factory.close()
    metrics.close()
    runtime.remove()
    process.off('exit', removeRuntime)
  }

  try {
    const inference = await buildInferenceApp(context, log)
    const management = await buildManagementApp(context, log)
    requests.push(new OpenRequests(inference), new OpenRequests(management))
    const inferenceUrl = await listen(inference, config.host, config.port)
    const managementUrl = await listen(management, config.managementHost, config.managementPort)
    const wanted = [...(await storeModels(config, sources)), ...argumentModels(models, sources)]
    const outcome = await loadModels(wanted, registry, log)
    isAccepting = true
    return { ...outcome, inferenceUrl, managementUrl, registry, close: () => (closing ??= close()) }
  } catch (error) {
    await close()
    throw error
  }
}

function refuseOpenManagement({ managementHost, managementToken }: Config): void {
  if (LOOPBACK.test(managementHost) || managementToken !== '') return
  throw new ConfigError(
    `Management on ${managementHost} would be open to the network. Set ONNXD_MANAGEMENT_TOKEN, or keep --management-host on loopback.`,
  )
}

async function listen(app: App, host: string, port: number): Promise<string> {
  await app.listen({ host, port })
  const address = app.server.address()
  if (!isAddress(address)) throw new Error('The listener has no address.')
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
}

function isAddress(address: AddressInfo | string | null | undefined): address is AddressInfo {
  return typeof address === 'object' && address !== null
}

interface ModelToLoad {
  readonly label: string
  readonly prepare: () => Promise<PreparedModel[]>
}

function argumentModels(models: readonly string[], sources: SourceOptions): ModelToLoad[] {
  return models.map((label) => ({ label, prepare: () => prepareFromArgument(label, sources) }))
}

async function storeModels(
  { modelStore, load }: Config,
  sources: SourceOptions,
): Promise<ModelToLoad[]> {
  if (modelStore === '' || load === 'none') return []
  const names =
    load === 'all' ? await listStore(modelStore) : load.split(',').map((name) => name.trim())
  return names.map((label) => ({ label, prepare: () => prepareFromUrl(label, sources) }))
}

async function loadModels(
  models: readonly ModelToLoad[],
  registry: Registry,
  log: Logger,
): Promise<{ loaded: ModelVersion[]; failed: FailedModel[] }> {
  const results: (readonly ModelVersion[] | FailedModel)[] = []
  const queue = models.entries()
  const loadNext = async (): Promise<void> => {
    for (const [index, { label, prepare }] of queue) {
      try {
        const versions = await registry.register(await prepare(), {}, true)
        results[index] = versions
        for (const { name, version } of versions) log.info({ model: name, version }, 'model ready')
      } catch (error) {
        results[index] = registry.recordFailure(label, messageOf(error))
        log.error({ model: label, reason: messageOf(error) }, 'model failed to load')
      }
    }
  }
  await Promise.all(Array.from({ length: PARALLEL_LOADS }, loadNext))
  return {
    loaded: results.flatMap((result) => ('reason' in result ? [] : result)),
    failed: results.flatMap((result) => ('reason' in result ? [result] : [])),
  }
}
