import { setTimeout as delay } from 'node:timers/promises'
import { ProtocolError, ServerError } from '../../errors.ts'
import { encodeLoad, encodePredict } from '../wire/encode.ts'
import type {
  LoadRequest,
  WireDialect,
  WireLimits,
  WireRequest,
  WorkerReply,
} from '../wire/messages.ts'
import { Child } from './child.ts'
import type { ChildSpec, ExitCause } from './child.ts'
import { Connection } from './connection.ts'
import type { WorkerAddress } from './connection.ts'
import { WorkerDiedError, inRequestOrder, loadFailure } from './outcomes.ts'

/** Everything that is needed to start one worker and load its model. */
export interface WorkerSpec {
  readonly child: ChildSpec
  readonly address: WorkerAddress
  readonly dialect: WireDialect
  readonly load: LoadRequest
  readonly limits: WireLimits
  /** Line on stdout by which the worker says that it listens. */
  readonly readyLine: string
  readonly loadTimeoutMs: number
  readonly responseTimeoutMs: number
  /** Batches that may be in the worker and its socket together. */
  readonly maxDepth: number
  readonly onLine: (line: string, stream: 'stdout' | 'stderr') => void
}

/**
 * ```
 * starting ──ready line──▶ loading ──reply 200──▶ ready ──stop()──▶ stopping ──▶ stopped
 *     └────────────────────────┴─────────────────────┴──exit, kill, bad bytes──────▲
 * ```
 */
export type WorkerState = 'starting' | 'loading' | 'ready' | 'stopping' | 'stopped'

/** How long a dying worker's exit may lag behind its socket, and how long a stopping one may take. */
const EXIT_GRACE_MS = 250
const STOP_GRACE_MS = 2000
/** Keep about this much work in the socket of a busy worker: less and it idles, more and it hoards. */
const WORK_AHEAD_MS = 1
/** Weight of the newest run in the moving average of run times. */
const AVERAGE_WEIGHT = 0.1

/** One worker process of a model version, from its start to its end. It never comes back; the pool makes a new one. */
export class Worker {
  readonly startedAt = new Date()
  /** Resolves when the model is loaded; rejects with a ServerError that says why it could not be. */
  readonly ready: Promise<void>
  /** Resolves with the reason when the process is gone. Never rejects. */
  readonly exited: Promise<ExitCause>
  readonly #spec: WorkerSpec
  readonly #child: Child
  #connection: Connection | undefined
  #state: WorkerState = 'starting'
  #killedBecause: string | undefined
  /** Batches sent and batches answered: batch number `#answered` is the one the worker is at. */
  #sent = 0
  #answered = 0
  #headStartedAt = 0
  #averageMs = 0
  #deadline: NodeJS.Timeout | undefined

  constructor(spec: WorkerSpec) {
    this.#spec = spec
    let sayListening = (): void => {}
    const isListening = new Promise<void>((resolve) => (sayListening = resolve))
    this.#child = new Child(spec.child, (line, stream) => {
      if (stream === 'stdout' && line === spec.readyLine) sayListening()
      spec.onLine(line, stream)
    })
    this.exited = this.#child.exited.then((cause) => this.#end(cause))
    this.ready = this.#start(isListening)
    // Whoever started the worker looks at `ready` in its own time.
    this.ready.catch(() => {})
  }

  get state(): WorkerState {
    return this.#state
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Batches sent and not yet answered. */
  get inFlight(): number {
    return this.#sent - this.#answered
  }

  /** Batches answered so far. */
  get answered(): number {
    return this.#answered
  }

  /** Last lines the process wrote to stderr, oldest first. */
  get lastErrors(): readonly string[] {
    return this.#child.lastErrors
  }

  /** Batches that should be in flight at once, from the measured run time. */
  get depth(): number {
    if (this.#answered === 0) return 1
    return Math.min(this.#spec.maxDepth, 1 + Math.floor(WORK_AHEAD_MS / Math.max(this.#averageMs, 0.01)))
  }

  /**
   * Sends a batch and resolves with the worker's reply, its predictions in the order of the requests.
   * @throws WorkerDiedError when the worker ends before it has answered.
   * @throws ServerError `ResponseTimeoutException` when this batch kept the worker beyond the limit; the worker is killed.
   */
  async predict(requests: readonly WireRequest[]): Promise<WorkerReply> {
    const connection = this.#connection
    if (connection === undefined || this.#state !== 'ready') throw new WorkerDiedError('was not ready', false)
    const position = this.#sent++
    if (position === this.#answered) this.#startDeadline()
    try {
      const reply = await connection.send(encodePredict(requests))
      this.#finishHead()
      return inRequestOrder(requests, reply)
    } catch (error) {
      throw await this.#explain(error, position)
    }
  }

  /** Ends an idle worker in peace, by force after a moment. Safe to call again. */
  async stop(): Promise<void> {
    if (this.#state !== 'stopped') this.#state = 'stopping'
    this.#connection?.destroy()
    this.#child.terminate()
    const timer = setTimeout(() => this.kill('was told to stop'), STOP_GRACE_MS)
    await this.exited
    clearTimeout(timer)
  }

  /** Ends the worker's process group at once. `because` completes "the worker …". */
  kill(because: string): void {
    if (this.#state === 'stopped') return
    this.#killedBecause ??= because
    this.#state = 'stopping'
    this.#child.kill()
  }

  async #start(isListening: Promise<void>): Promise<void> {
    const { loadTimeoutMs } = this.#spec
    const timer = setTimeout(() => this.kill(`took longer than ${loadTimeoutMs / 1000} s`), loadTimeoutMs)
    try {
      await Promise.race([this.#load(isListening), this.exited.then((cause) => Promise.reject(loadFailure(cause.text)))])
    } catch (error) {
      if (error instanceof ServerError) this.kill('could not load the model')
      else await this.#loseConnection()
      const cause = await this.exited
      throw error instanceof ServerError ? error : loadFailure(cause.text, error)
    } finally {
      clearTimeout(timer)
    }
    this.#state = 'ready'
    void this.#connection?.closed.then(() => this.#loseConnection())
  }

  async #load(isListening: Promise<void>): Promise<void> {
    await isListening
    this.#state = 'loading'
    const connection = await Connection.open(this.#spec.address, this.#spec.limits, this.#spec.maxDepth)
    this.#connection = connection
    const reply = await connection.send(encodeLoad(this.#spec.load, this.#spec.dialect))
    if (reply.code !== 200) throw loadFailure(reply)
  }

  /** A worker without its socket is of no use, and a crash closes the socket just before the exit is seen. */
  async #loseConnection(): Promise<void> {
    await Promise.race([this.exited, delay(EXIT_GRACE_MS, undefined, { ref: false })])
    this.kill('closed its connection')
  }

  #end(cause: ExitCause): ExitCause {
    this.#state = 'stopped'
    clearTimeout(this.#deadline)
    this.#connection?.destroy()
    return this.#killedBecause === undefined ? cause : { ...cause, text: this.#killedBecause }
  }

  #finishHead(): void {
    const now = performance.now()
    const runMs = now - this.#headStartedAt
    this.#averageMs += (runMs - this.#averageMs) * (this.#answered === 0 ? 1 : AVERAGE_WEIGHT)
    this.#answered += 1
    this.#headStartedAt = now
  }

  async #explain(error: unknown, position: number): Promise<Error> {
    if (error instanceof ProtocolError) this.kill(`broke the protocol (${error.message})`)
    const cause = await this.exited
    const hadStarted = position <= this.#answered
    if (hadStarted && this.#hasTimedOut()) {
      const seconds = this.#spec.responseTimeoutMs / 1000
      return new ServerError('ResponseTimeoutException', `The model did not answer within ${seconds} s.`, { cause: error })
    }
    return new WorkerDiedError(cause.text, hadStarted, error)
  }

  /** One timer per worker, not one per request: it looks at the head of the line when it fires. */
  #startDeadline(): void {
    this.#headStartedAt = performance.now()
    this.#deadline ??= setTimeout(() => this.#checkDeadline(), this.#spec.responseTimeoutMs)
  }

  #checkDeadline(): void {
    this.#deadline = undefined
    if (this.inFlight === 0) return
    const leftMs = this.#headStartedAt + this.#spec.responseTimeoutMs - performance.now()
    if (leftMs > 0) this.#deadline = setTimeout(() => this.#checkDeadline(), Math.ceil(leftMs))
    else this.kill(this.#timeoutText())
  }

  #hasTimedOut(): boolean {
    return this.#killedBecause === this.#timeoutText()
  }

  #timeoutText(): string {
    return `did not answer within ${this.#spec.responseTimeoutMs / 1000} s`
  }
}
