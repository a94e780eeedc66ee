import type { Server } from 'node:net'
import process from 'node:process'
import type { Logger } from 'pino'
import { ServerError, messageOf } from '../errors.ts'
import type { OpenListener } from '../listen-all.ts'
import { createModelService } from '../models/model-service.ts'
import type { ModelService } from '../models/model-service.ts'
import { RolloutReporter } from '../models/rollout/reporter.ts'
import { ShadowReporter } from '../models/shadow/reporter.ts'
import { startAccess } from '../routes/http/access/server-access.ts'
import type { ServerAccess } from '../routes/http/access/server-access.ts'
import { ByteBudget, budgetBytes } from '../routes/http/byte-budget.ts'
import { listen } from '../routes/http/connections/listen.ts'
import { RecentLog } from '../routes/management/recent-log.ts'
import type { Health } from '../routes/process-health.ts'
import type { RouteContext } from '../routes/route-context.ts'
import { startTracing } from '../routes/tracing/tracing.ts'
import type { Tracing } from '../routes/tracing/tracing.ts'
import { tell } from './channel.ts'
import type { DesiredState } from './desired-state.ts'
import { answer } from './exchange/answer.ts'
import type { Answering } from './exchange/answer.ts'
import { Asking } from './exchange/asking.ts'
import type { Begin, HealthQuestion, ToShard } from './messages.ts'
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
  /** Ports of process 0, with its sockets if the kernel cannot divide the connections. */
  readonly #listeners = new Map<'http' | 'grpc', { port: number; handle: Server | undefined }>()
  /** Listeners of this process. */
  readonly #open: OpenListener[] = []
  #isAccepting = false
  #isStopping = false
  #loadsEnded: Promise<void> | undefined
  #draining: Promise<void> | undefined
  #managementUrl = ''
  readonly #asking = new Asking<HealthQuestion>((id, question) =>
    tell({ type: 'ask', id, question }),
  )

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
          if (this.#newest !== message.state || parts === undefined) return
          parts.reconciler.want(message.state)
          tell({ type: 'informed', revision: message.state.revision })
        })
        return
      case 'listener': {
        const { protocol, port, isHandle } = message
        this.#listeners.set(protocol, { port, handle: isHandle ? (handle as Server) : undefined })
        return
      }
      case 'listen':
        this.#managementUrl = message.managementUrl
        void this.#listen().catch((error: unknown) => this.#fail(error))
        return
      case 'ask':
        void answer(message.question, this.#answering).then((value) =>
          tell({ type: 'answer', id: message.id, value }),
        )
        return
      case 'answer':
        this.#asking.take(message.id, message.value)
        return
      case 'learned':
        void this.#starting.then((parts) => parts?.service.index?.add(message.lines))
        return
      case 'stop':
        this.#stop()
        return
      case 'drain':
        void this.#drain().then(() => this.#surroundings.end(0))
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
    const { registry, sources, index } = service
    if (index !== undefined) index.onRecord = (line) => tell({ type: 'learned', lines: [line] })
    const rollouts = new RolloutReporter((reports) => tell({ type: 'judged', reports }))
    const shadows = new ShadowReporter((reports) => tell({ type: 'copied', reports }))
    registry.shadows.onEvent = (name, shadow, event) => shadows.add(name, shadow, event)
    const reconciler = new Reconciler({
      registry,
      sources,
      isOnDemand: config.load === 'on-demand',
      drainMs: config.drainTimeout * 1000,
      onProgress: () => tell({ type: 'progress' }),
      onApplied: ({ revision, judged }) => {
        tell({ type: 'applied', revision })
        rollouts.watch(judged, (name, version) =>
          registry.has(name, version) ? registry.get(name, version) : undefined,
        )
      },
      onFailed: (error) => void this.#fail(error),
      onScalingFailed: (model, version, error) =>
        log.error({ model, version, reason: messageOf(error) }, 'scaling failed'),
    })
    return { service, access, tracing, reconciler }
  }

  async #listen(): Promise<void> {
    const parts = await this.#starting
    if (parts === undefined || this.#isStopping) return
    const { config } = this.#begin
    const { log } = this.#surroundings
    const { buildInferenceApp } = await import('../app.ts')
    const context = this.#context(parts)
    const app = await buildInferenceApp(context, log)
    await app.ready()
    const http = this.#listeners.get('http')
    const grpc = this.#listeners.get('grpc')
    if (this.#isStopping || http === undefined) return
    this.#open.push(app.openRequests)
    const { port, handle } = http
    if (handle === undefined) {
      const isSecure = parts.access.tls !== undefined
      const place = { host: config.host, port, hostFlag: '--host', portFlag: '--port', isSecure }
      await listen(app, { ...place, reusePort: 'further' })
    } else {
      await new Promise<void>((resolve) => app.server.listen(handle, resolve))
    }
    if (grpc !== undefined) {
      const { startGrpc } = await import('../routes/grpc/listener.ts')
      const reusePort = grpc.handle === undefined ? 'further' : undefined
      this.#open.push(await startGrpc(context, log, { ...grpc, reusePort }))
    }
    this.#isAccepting = !this.#isStopping
    parts.service.factory.spares.refill()
    tell({ type: 'listening' })
  }

  #context({ service, access, tracing }: Parts): RouteContext {
    const { config, origins } = this.#begin
    const budget = new ByteBudget(budgetBytes(config.memoryBudgetMib))
    service.registry.shadows.memory = budget
    return {
      ...service,
      config,
      configOrigins: origins,
      budget,
      recentLog: new RecentLog(),
      access,
      tracing,
      isAccepting: () => this.#isAccepting,
      isStopping: () => this.#isStopping,
      stopping: this.#stopLoading.signal,
      managementUrl: () => this.#managementUrl,
      healthElsewhere: async (place) =>
        ((await this.#asking.ask({ about: 'health', place })) ?? []) as readonly Health[],
    }
  }

  /** Process 0 logs the reason and starts another process. Accepted requests are finished. */
  async #fail(error: unknown): Promise<void> {
    const stderr = error instanceof ServerError ? error.log : []
    tell({ type: 'failed', reason: messageOf(error), stderr: [...stderr] })
    this.#stop()
    await this.#drain()
    await this.#surroundings.end(1)
  }

  /** As the beginning of the end of process 0, at the same time. */
  #stop(): void {
    this.#isStopping = true
    this.#isAccepting = false
    this.#stopLoading.abort()
    for (const listener of this.#open) listener.startDraining()
    this.#loadsEnded ??= this.#starting.then(async (parts) => {
      parts?.reconciler.stop()
      await Promise.all([
        parts?.service.registry.stopLoading(),
        parts?.service.factory.spares.close(),
      ])
    })
  }

  #drain(): Promise<void> {
    return (this.#draining ??= this.#drainNow())
  }

  async #drainNow(): Promise<void> {
    const { config } = this.#begin
    const { log } = this.#surroundings
    const drainMs = config.drainTimeout * 1000
    await Promise.all(this.#open.map((listener) => listener.close(drainMs, log)))
    const parts = await this.#starting
    await this.#loadsEnded
    await Promise.all([parts?.service.close(), parts?.tracing?.close()])
    parts?.access.close()
  }

  get #answering(): Answering {
    return { open: this.#open, starting: this.#starting, gpus: this.#begin.config.gpus }
  }
}
