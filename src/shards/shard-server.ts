import type { Server } from 'node:net'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { ServerError, messageOf } from '../errors.ts'
import { describeVersion } from '../models/describe-version.ts'
import { createModelService } from '../models/model-service.ts'
import type { ModelService } from '../models/model-service.ts'
import { liveProcess } from '../routes/console/live-process.ts'
import { startAccess } from '../routes/http/access/server-access.ts'
import type { ServerAccess } from '../routes/http/access/server-access.ts'
import { ByteBudget, budgetBytes } from '../routes/http/byte-budget.ts'
import { listen } from '../routes/http/connections/listen.ts'
import { RecentLog } from '../routes/management/recent-log.ts'
import type { App, RouteContext } from '../routes/route-context.ts'
import { startTracing } from '../routes/tracing/tracing.ts'
import type { Tracing } from '../routes/tracing/tracing.ts'
import { tell } from './channel.ts'
import type { DesiredState } from './desired-state.ts'
import type { Begin, Question, ToShard } from './messages.ts'
import { Reconciler } from './reconciler.ts'

/** What a {@link ShardServer} needs from its process. */
export interface ShardSurroundings {
  readonly log: Logger
  readonly droppedLogLines: () => number
  /** Ends the process. */
  readonly end: (code: number) => Promise<void>
}

/** The parts of a started server. */
interface Parts {
  readonly service: ModelService
  readonly access: ServerAccess
  readonly tracing: Tracing | undefined
  readonly reconciler: Reconciler
}

/**
 * The server in a further HTTP process: models, workers and an inference listener. Process 0
 * decides about its models, and when it listens and stops.
 */
export class ShardServer {
  readonly #begin: Begin
  readonly #surroundings: ShardSurroundings
  readonly #stopLoading = new AbortController()
  readonly #starting: Promise<Parts | undefined>
  #newest: DesiredState | undefined
  #app: App | undefined
  #isAccepting = false
  #stopping: Promise<void> | undefined
  #managementUrl = ''

  constructor(begin: Begin, surroundings: ShardSurroundings) {
    this.#begin = begin
    this.#surroundings = surroundings
    this.#starting = this.#start().catch((error: unknown) => {
      void this.#fail(error)
      return undefined
    })
  }

  /** Takes a message of process 0. `handle` is a listening socket that came with it. */
  take(message: Exclude<ToShard, Begin>, handle: unknown): void {
    switch (message.type) {
      case 'state':
        this.#newest = message.state
        // The newest state is taken when the start has ended.
        void this.#starting.then((parts) => {
          if (this.#newest === message.state) parts?.reconciler.want(message.state)
        })
        return
      case 'listen':
        this.#managementUrl = message.managementUrl
        void this.#listen(message.port, message.isHandle ? (handle as Server) : undefined).catch(
          (error: unknown) => this.#fail(error),
        )
        return
      case 'ask':
        void this.#answer(message.question).then((value) =>
          tell({ type: 'answer', id: message.id, value }),
        )
        return
      case 'stop':
        void this.#stop(this.#begin.config.stopDelay).then(() => this.#surroundings.end(0))
    }
  }

  async #start(): Promise<Parts> {
    const { config, origins, share } = this.#begin
    const { log, droppedLogLines } = this.#surroundings
    const { signal } = this.#stopLoading
    const environment = process.env
    const access = await startAccess(config, log)
    const tracing = await startTracing(environment, log)
    const service = await createModelService({
      config,
      origins,
      environment,
      log,
      droppedLogLines,
      share,
      signal,
      stopSignal: signal,
    })
    const { registry, sources } = service
    const reconciler = new Reconciler({
      registry,
      sources,
      isOnDemand: config.load === 'on-demand',
      drainMs: config.drainTimeout * 1000,
      onProgress: () => tell({ type: 'progress' }),
      onApplied: (revision) => tell({ type: 'applied', revision }),
      onFailed: (error) => void this.#fail(error),
      onScalingFailed: (model, version, error) =>
        log.error({ model, version, reason: messageOf(error) }, 'scaling failed'),
    })
    return { service, access, tracing, reconciler }
  }

  async #listen(port: number, handle: Server | undefined): Promise<void> {
    const parts = await this.#starting
    if (parts === undefined || this.#isStopping) return
    const { config } = this.#begin
    const { buildInferenceApp } = await import('../app.ts')
    const app = await buildInferenceApp(this.#context(parts), this.#surroundings.log)
    await app.ready()
    if (this.#isStopping) return
    this.#app = app
    if (handle === undefined) {
      const isSecure = parts.access.tls !== undefined
      const place = { host: config.host, port, hostFlag: '--host', portFlag: '--port', isSecure }
      await listen(app, { ...place, reusePort: 'further' })
    } else {
      await new Promise<void>((resolve) => app.server.listen(handle, resolve))
    }
    this.#isAccepting = !this.#isStopping
    parts.service.factory.spares.refill()
    tell({ type: 'listening' })
  }

  #context({ service, access, tracing }: Parts): RouteContext {
    const { config, origins } = this.#begin
    const { registry, repository, metrics, modelMemory, listWeightCache } = service
    const { sources, deliveries } = service
    return {
      config,
      configOrigins: origins,
      registry,
      repository,
      metrics,
      modelMemory,
      listWeightCache,
      budget: new ByteBudget(budgetBytes(config.memoryBudgetMib)),
      sources,
      deliveries,
      recentLog: new RecentLog(),
      access,
      tracing,
      recorder: undefined,
      isAccepting: () => this.#isAccepting,
      isStopping: () => this.#isStopping,
      stopping: this.#stopLoading.signal,
      managementUrl: () => this.#managementUrl,
    }
  }

  /** Process 0 logs the reason and starts another process. Accepted requests are finished. */
  async #fail(error: unknown): Promise<void> {
    const stderr = error instanceof ServerError ? error.log : []
    tell({ type: 'failed', reason: messageOf(error), stderr: [...stderr] })
    await this.#stop(0)
    await this.#surroundings.end(1)
  }

  get #isStopping(): boolean {
    return this.#stopping !== undefined
  }

  #stop(delaySeconds: number): Promise<void> {
    return (this.#stopping ??= this.#stopNow(delaySeconds))
  }

  /** As the end of process 0, which stops at the same time. */
  async #stopNow(delaySeconds: number): Promise<void> {
    const { config } = this.#begin
    const { log } = this.#surroundings
    this.#isAccepting = false
    this.#stopLoading.abort()
    this.#app?.openRequests.startDraining()
    const parts = await this.#starting
    parts?.reconciler.stop()
    const loadsEnded = parts?.service.registry.stopLoading()
    const sparesEnded = parts?.service.factory.spares.close()
    if (this.#app !== undefined && delaySeconds > 0) await delay(delaySeconds * 1000)
    await this.#app?.openRequests.close(config.drainTimeout * 1000, log)
    await Promise.all([loadsEnded, sparesEnded])
    await Promise.all([parts?.service.close(), parts?.tracing?.close()])
    parts?.access.close()
  }

  async #answer(question: Question): Promise<unknown> {
    if (question.about === 'alive') return true
    const parts = await this.#starting
    if (parts === undefined) return undefined
    const { registry, metrics, modelMemory } = parts.service
    if (question.about === 'live') return liveProcess({ registry, metrics, modelMemory })
    if (question.about === 'metrics') return metrics.text(question.names)
    const { name, version } = question
    if (!registry.has(name, version)) return undefined
    return describeVersion(registry.get(name, version), this.#begin.config.gpus)
  }
}
