/** Starts a server: runtime folder, registry, listeners, and the models of the start. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { processesOf } from './config/config.ts'
import type { Config, ConfigOrigins } from './config/config.ts'
import { ConfigError } from './errors.ts'
import { listenAll } from './listen-all.ts'
import type { Addresses, OpenListener } from './listen-all.ts'
import { isLoopback } from './loopback.ts'
import type { FailedModel } from './models/loading/failures.ts'
import { progressOf } from './models/loading/load-progress.ts'
import type { LoadProgress } from './models/loading/load-progress.ts'
import { loadStartupModels } from './models/loading/startup.ts'
import type { StartupResult } from './models/loading/startup.ts'
import { createModelService } from './models/model-service.ts'
import type { ModelVersion } from './models/model-version.ts'
import type { Registry } from './models/registry.ts'
import { storeProblem } from './models/sources/store/check.ts'
import type { Transfer } from './models/transfers/transfers.ts'
import { startAccess } from './routes/http/access/server-access.ts'
import type { ServerAccess } from './routes/http/access/server-access.ts'
import { ByteBudget, budgetBytes } from './routes/http/byte-budget.ts'
import { RecentLog } from './routes/management/recent-log.ts'
import type { RouteContext } from './routes/route-context.ts'
import { startTracing } from './routes/tracing/tracing.ts'

/** Options of {@link startServer}. */
export interface ServerOptions {
  readonly config: Config
  /** The source of each setting, to show to the operator. */
  readonly origins?: ConfigOrigins
  /** MODEL arguments: paths, or `name=path`. */
  readonly models: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Returns the available memory in bytes, for `checkMemory`; default: the value of the system. */
  readonly availableMemory?: () => Promise<number>
  readonly log: Logger
  /** The lines of `log`, as far as they are kept. */
  readonly recentLog?: RecentLog
  /** Takes lines of the log that another HTTP process has formatted. */
  readonly writeLog?: (lines: string) => void
  /** Returns the number of log lines that could not be written so far. */
  readonly droppedLogLines?: () => number
  /** Aborting it stops the loading of models, and then the server, at any time. */
  readonly signal?: AbortSignal
  /** Called once, before models are loaded, with a function that returns the running work. */
  readonly onProgress?: (progress: () => RunningWork) => void
}

/** Loads, uploads and downloads of this moment. */
export interface RunningWork {
  readonly loads: readonly LoadProgress[]
  readonly transfers: readonly Transfer[]
}

/** A listening server. */
export interface RunningServer extends Addresses {
  readonly registry: Registry
  /** Models of the start, in the order of the arguments. */
  readonly loaded: readonly ModelVersion[]
  readonly failed: readonly FailedModel[]
  readonly access: ServerAccess
  /**
   * Rejects new requests, finishes accepted ones within the drain timeout, then ends the workers
   * and the listeners. It may be called more than once.
   */
  close(): Promise<void>
}

/** A client that was connected this long before the stop signal is expected to connect again. */
const RECENT_MS = 60_000

/** The HTTP side waits at most this long for the start of the first worker. */
const WORKER_FIRST_MS = 100

/**
 * Listens while the models still load, so that probes get a correct response meanwhile.
 * @throws ConfigError if management would be open without a token or Python cannot be used.
 * @throws Error of `listen`; the reason of `signal` if it is aborted before all models are loaded.
 * Everything that was started has ended by then.
 */
export async function startServer({
  config: allSettings,
  origins = {},
  models,
  environment,
  availableMemory,
  log,
  recentLog = new RecentLog(),
  writeLog = () => {},
  droppedLogLines,
  signal: stopSignal,
  onProgress,
}: ServerOptions): Promise<RunningServer> {
  const count = processesOf(allSettings)
  const sharing = count > 1 ? await import('./shards/shard-set.ts') : undefined
  sharing?.checkSettings(allSettings)
  const share = sharing && { index: 0, count }
  const config = share ? sharing.settingsFor(allSettings, share) : allSettings
  const access = await startAccess(config, log)
  refuseOpenManagement(config, access)
  const tracing = await startTracing(environment, log)
  const stopLoading = new AbortController()
  const { signal } = stopLoading
  const service = await createModelService({
    config,
    origins,
    environment,
    availableMemory,
    log,
    droppedLogLines,
    share,
    signal,
    stopSignal,
  })
  const { factory, registry, persistence, index } = service
  const shards =
    sharing &&
    new sharing.ShardSet({ config: allSettings, origins, count, registry, index, log, writeLog })
  const budget = new ByteBudget(budgetBytes(config.memoryBudgetMib))
  registry.shadows.memory = budget
  let isAccepting = false
  let isStopping = false
  let managementUrl: string | undefined
  const { repository, metrics, modelMemory, listWeightCache, sources, deliveries, recorder } =
    service
  const context: RouteContext = {
    config,
    serverConfig: allSettings,
    configOrigins: origins,
    registry,
    repository,
    metrics,
    modelMemory,
    listWeightCache,
    budget,
    sources,
    deliveries,
    recentLog,
    access,
    tracing,
    recorder,
    others: shards,
    healthElsewhere: shards && ((place) => shards.health(place)),
    forget: (name) => persistence?.forget(name) ?? Promise.resolve(false),
    isAccepting: () => isAccepting,
    isStopping: () => isStopping,
    stopping: signal,
    managementUrl: () => managementUrl,
  }
  const listeners: OpenListener[] = []
  onProgress?.(() => ({
    loads: registry.loads.running.flatMap(progressOf),
    transfers: deliveries.transfers.current,
  }))

  let loading: Promise<StartupResult> | undefined
  let closing: Promise<void> | undefined
  const closeOnce = (): Promise<void> => (closing ??= close())
  const close = async (): Promise<void> => {
    const wasReady = isAccepting
    isAccepting = false
    isStopping = true
    stopLoading.abort()
    for (const listener of listeners) listener.startDraining()
    // Loads must stop first: a request that waits for a load would keep the server from ending.
    const loadsEnded = registry.stopLoading()
    const sparesEnded = factory.spares.close()
    // A load balancer needs time to see that readiness returns 503. Its next probe or request may
    // come on a new connection.
    const hasClients =
      listeners.some((listener) => listener.hasClientsWithin(RECENT_MS)) ||
      (await shards?.hasClientsWithin(RECENT_MS)) === true
    const delayMs = wasReady && hasClients ? config.stopDelay * 1000 : 0
    shards?.stop(delayMs)
    // Also without a delay, what has arrived before the signal is accepted first.
    if (wasReady && hasClients) await delay(delayMs)
    await shards?.stopListening()
    const drainMs = config.drainTimeout * 1000
    // Models stay until the last request has its response, also one whose body still arrives.
    const listenersEnded = listeners.map((listener) => listener.close(drainMs, log))
    const shardsEnded = shards?.close()
    await Promise.all(listenersEnded)
    await Promise.all([loadsEnded, sparesEnded, shardsEnded])
    await Promise.all([service.close(), tracing?.close()])
    access.close()
    await loading?.catch(() => {})
  }

  try {
    stopSignal?.throwIfAborted()
    stopSignal?.addEventListener('abort', () => void closeOnce(), { once: true })
    await warnAboutStore(config, log)
    registry.loads.isStarting = true
    loading = loadStartupModels(models, { config, sources, registry, log, signal })
    // It is awaited below. Until then a failure must not be an unhandled rejection.
    loading.catch(() => {})
    // A worker starts slower than the HTTP side, so it goes first, unless its model is an archive.
    await Promise.race([factory.firstStart, loading, delay(WORKER_FIRST_MS)])
    const reusePort = sharing?.canReusePort() === true ? 'first' : undefined
    const { inferenceServer, grpcServer, ...urls } = await listenAll(
      context,
      log,
      listeners,
      signal,
      reusePort,
    )
    managementUrl = urls.managementUrl
    shards?.start()
    const outcome = await loading
    signal.throwIfAborted()
    await persistence?.restore(signal)
    index?.allowWrites()
    signal.throwIfAborted()
    isAccepting = true
    registry.loads.isStarting = false
    factory.spares.refill()
    await shards?.listen({
      managementUrl,
      http: inferenceServer,
      grpc: grpcServer,
      isPortReused: reusePort !== undefined,
    })
    signal.throwIfAborted()
    return { ...outcome, ...urls, registry, access, close: closeOnce }
  } catch (error) {
    await closeOnce()
    throw error
  }
}

async function warnAboutStore({ modelStore }: Config, log: Logger): Promise<void> {
  const problem = modelStore === '' ? undefined : await storeProblem(modelStore)
  if (problem !== undefined) log.warn({ modelStore }, problem)
}

function refuseOpenManagement(config: Config, { tokens }: ServerAccess): void {
  const { managementHost, insecureManagement } = config
  const isGuarded = tokens?.guards('management') ?? false
  if (isLoopback(managementHost) || isGuarded || insecureManagement) return
  throw new ConfigError(
    `The management listener on ${managementHost} would be open to the network without a token. Set ONNXD_MANAGEMENT_TOKEN or tokens with the scope management, or set --management-host to 127.0.0.1.`,
  )
}
