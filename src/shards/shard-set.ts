/** The further HTTP processes of a server: starts, informs, replaces and stops them. */
import type { Logger } from 'pino'
import type { Config, ConfigOrigins } from '../config/config.ts'
import type { ModelIndex } from '../models/model-index/model-index.ts'
import type { Registry } from '../models/registry.ts'
import type { LiveProcess } from '../routes/console/live-process.ts'
import type { DescriptionElsewhere, OtherProcesses } from '../routes/other-processes.ts'
import type { Health, ModelPlace } from '../routes/process-health.ts'
import { Registrations, desiredState, stepMs } from './desired-state.ts'
import type { DesiredState } from './desired-state.ts'
import { askAll, describeInAll, haveClientsWithin, healthElsewhere } from './exchange/ask-all.ts'
import { takeReport } from './exchange/reports.ts'
import { Liveness } from './liveness.ts'
import { canReusePort } from './reuse-port.ts'
import { Shard } from './shard.ts'
import type { EndCause, SharedListeners } from './shard.ts'
import { checkSettings, settingsFor } from './shared-limits.ts'
import { MetricTotals, processMetrics } from './totals/metric-totals.ts'
import { Waiting } from './waiting.ts'

export { canReusePort, checkSettings, settingsFor }

const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 30_000
/** A process that has listened this long is replaced at once. */
const LONG_LIFE_MS = 10_000
/** A state takes time to build and to send. It is sent in at most this part of the time. */
const LEAST_PAUSE_PER_SEND = 10

/** What a {@link ShardSet} needs from the server. */
export interface ShardSetOptions {
  readonly config: Config
  readonly origins: ConfigOrigins
  readonly count: number
  readonly registry: Registry
  /** What is known of models that load on demand. All processes know the same. */
  readonly index: ModelIndex | undefined
  readonly log: Logger
  /** Takes lines of the log that another process has formatted. */
  readonly writeLog: (lines: string) => void
}

/** The processes 1 and up. */
export class ShardSet implements OtherProcesses {
  /** Processes that were replaced, by the cause of their end. */
  readonly restarts: Record<EndCause, number> = { exit: 0, signal: 0, failed: 0, timeout: 0 }
  readonly #options: ShardSetOptions
  readonly #totals = new MetricTotals()
  readonly #liveness = new Liveness(() => this.running)
  readonly #registrations = new Registrations()
  readonly #shards = new Map<number, Shard>()
  readonly #failures = new Map<number, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #waiting = new Waiting()
  /** Processes that have not listened and not ended yet. */
  readonly #untried = new Set<number>()
  /** Names that the processes cannot be told about, as far as the log has them. */
  readonly #unshared = new Set<string>()
  #revision = 1
  #sending: NodeJS.Timeout | undefined
  #lastSendMs = 0
  #listeners: SharedListeners | undefined
  #isClosing = false

  constructor(options: ShardSetOptions) {
    this.#options = options
    if (options.index !== undefined)
      options.index.onRecord = (line) => this.running.forEach((shard) => shard.learn([line]))
    options.registry.changes.onChange = () => this.#sendLater()
    options.registry.changes.whenShared = () => this.applied()
    options.registry.loads.onChange = () => this.#sendLater()
  }

  /** Starts the processes. They load what process 0 loads, and listen when {@link listen} says. */
  start(): void {
    if (this.#isClosing) return
    for (let index = 1; index < this.#options.count; index += 1) {
      this.#untried.add(index)
      this.#start(index)
    }
  }

  /** The running processes. */
  get running(): readonly Shard[] {
    return [...this.#shards.values()]
  }

  /**
   * Lets the processes listen, each when it serves all models. Resolves when each one listens or
   * could not start.
   */
  async listen(listeners: SharedListeners): Promise<void> {
    this.#listeners = listeners
    for (const shard of this.#shards.values()) this.#listenIfReady(shard)
    await this.#until(() => this.#untried.size === 0)
  }

  /** Resolves when all processes that take requests serve the models as they are now. */
  async applied(): Promise<void> {
    const revision = this.#revision
    await this.#until(() => this.running.every((shard) => shard.isSettled(revision)))
  }

  /** Resolves when all processes that take requests know the models as they are now. */
  async informed(): Promise<void> {
    const revision = this.#revision
    await this.#until(() => this.running.every((shard) => shard.isInformed(revision)))
  }

  describe(name: string, version: string): Promise<Map<number, DescriptionElsewhere>> {
    return describeInAll(this.running, name, version)
  }

  live(): Promise<Map<number, LiveProcess>> {
    return askAll(this.running, { about: 'live' })
  }

  /** As {@link healthElsewhere}. */
  health(place?: ModelPlace, asker?: Shard): Promise<Health[]> {
    return healthElsewhere(place, asker, this.#context)
  }

  metrics(own: string, names: readonly string[]): Promise<string> {
    const text = processMetrics(this.running, this.restarts, names)
    return this.#totals.text(`${own}\n${text}`, this.running, names)
  }

  hasClientsWithin(ms: number): Promise<boolean> {
    return haveClientsWithin(this.running, ms)
  }

  /**
   * Tells all processes that they are not ready any more. They still accept requests.
   * @param delayMs Time until {@link close}.
   */
  stop(delayMs: number): void {
    this.#isClosing = true
    this.#liveness.close()
    clearTimeout(this.#sending)
    for (const timer of this.#timers) clearTimeout(timer)
    for (const shard of this.running) shard.stop(delayMs)
    this.#waiting.check()
  }

  /**
   * Closes the listening sockets of all processes. Until this is done, no process may close a
   * connection: its client would connect again, and the kernel resets connections that wait at a
   * socket when it is closed.
   */
  async stopListening(): Promise<void> {
    await askAll(this.running, { about: 'listeners' })
  }

  /** Lets all processes finish accepted requests. Resolves when they have ended. */
  async close(): Promise<void> {
    await Promise.all(this.running.map((shard) => shard.drain()))
  }

  #start(index: number): void {
    const { config, origins, count, registry, log, writeLog } = this.#options
    const share = { index, count }
    const shard: Shard = new Shard({
      begin: { type: 'begin', config: settingsFor(config, share), origins, share },
      drainMs: config.drainTimeout * 1000,
      events: {
        onLog: writeLog,
        onOutput: (line) => log.warn({ shard: index, line }, 'output of an HTTP process'),
        onChange: (changed) => {
          this.#listenIfReady(changed)
          if (changed.listeningSince !== undefined) this.#untried.delete(index)
          this.#waiting.check()
        },
        onListening: ({ pid }) => log.info({ shard: index, pid }, 'an HTTP process listens'),
        onReport: (from, report) => takeReport(report, from, this.#context),
        onQuestion: (asker, { place }) => this.health(place, asker),
        onFailed: (reason, stderr) =>
          log.error({ shard: index, reason, stderr }, 'an HTTP process cannot serve the models'),
        onEnd: (ended, cause, detail) => this.#replace(ended, cause, detail),
      },
    })
    this.#shards.set(index, shard)
    shard.want(this.#state(), stepMs(config, registry))
    shard.learn(this.#options.index?.lines ?? [])
  }

  #state(): DesiredState {
    const { registry, log } = this.#options
    const onUnshared = (model: string): void => {
      if (!this.#unshared.has(model)) log.error({ model }, 'only process 0 can serve this model')
      this.#unshared.add(model)
    }
    return desiredState(registry, this.#registrations, this.#revision, onUnshared)
  }

  #replace(shard: Shard, cause: EndCause, detail: string): void {
    const { index, pid, listeningSince } = shard
    this.#shards.delete(index)
    this.#totals.end(shard)
    this.#untried.delete(index)
    this.#waiting.check()
    if (this.#isClosing) return
    this.restarts[cause] += 1
    const livedMs = listeningSince === undefined ? 0 : performance.now() - listeningSince
    const failures = livedMs >= LONG_LIFE_MS ? 0 : (this.#failures.get(index) ?? 0)
    this.#failures.set(index, failures + 1)
    const ms = failures === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** failures, MAX_DELAY_MS)
    this.#options.log.error(
      { shard: index, pid, cause, detail, nextStartMs: ms },
      'an HTTP process has ended; another one is started',
    )
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#start(index)
    }, ms)
    this.#timers.add(timer)
  }

  #listenIfReady(shard: Shard): void {
    const listeners = this.#listeners
    if (listeners === undefined || this.#isClosing) return
    // Otherwise a request could find it with older models.
    if (!shard.serves(this.#revision)) return
    shard.listen(listeners)
  }

  /** Sends the models to all processes, once for several changes. */
  #sendLater(): void {
    this.#revision += 1
    if (this.#isClosing) return
    this.#sending ??= setTimeout(() => {
      this.#sending = undefined
      const begun = performance.now()
      const state = this.#state()
      const ms = stepMs(this.#options.config, this.#options.registry)
      for (const shard of this.#shards.values()) shard.want(state, ms)
      this.#lastSendMs = performance.now() - begun
    }, this.#lastSendMs * LEAST_PAUSE_PER_SEND)
  }

  get #context() {
    return { ...this.#options, registrations: this.#registrations, running: this.running }
  }

  /** Resolves when the condition holds after a change of a process, or the server stops. */
  #until(isDone: () => boolean): Promise<void> {
    return this.#waiting.until(() => isDone() || this.#isClosing)
  }
}
