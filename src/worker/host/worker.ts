import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { ProtocolError, ServerError } from '../../errors.ts'
import { encodeLoad, encodePredict } from '../wire/encode.ts'
import type { WorkerReply } from '../wire/messages.ts'
import { BatchStreams, streamingWorker } from './batch-streams.ts'
import type { OnFailure, OnFirst, StreamingWorker } from './batch-streams.ts'
import type { ServedRequest } from './calls/call-channel.ts'
import { isShortage } from './child-process/child.ts'
import type { ExitCause } from './child-process/child.ts'
import { withErrorLog } from './child-process/error-log.ts'
import { watchForStop } from './child-process/stopped-process.ts'
import type { WorkerProcess } from './child-process/worker-process.ts'
import type { Connection } from './connection.ts'
import { modelProcess } from './model-process.ts'
import {
  WorkerDiedError,
  batchFailure,
  inRequestOrder,
  loadFailure,
  loadTimeoutText,
  protocolText,
  responseTimeoutText,
  withReason,
} from './outcomes.ts'
import { Progress } from './progress.ts'
import type { WorkerSpec, WorkerState } from './worker-spec.ts'

/** Milliseconds to wait for the exit of a worker whose socket closed, and for a stopping worker. */
const EXIT_GRACE_MS = 250
const STOP_GRACE_MS = 2000
/** Milliseconds. A loading worker has no batch to finish, and native code may block its signals. */
const LOADING_STOP_GRACE_MS = 200

/** One worker process, from start to end. It is never restarted; the pool creates a new one. */
export class Worker {
  readonly startedAt = new Date()
  readonly startedAtMs = performance.now()
  /** Resolves when the model is loaded; rejects with a ServerError. Callers may ignore it. */
  readonly ready: Promise<void>
  /** Resolves with the cause when the process has ended. Never rejects. */
  readonly exited: Promise<ExitCause>
  /** Counts its batches and measures how long they take. */
  readonly progress: Progress
  /** Whether it shares its weights with other workers; absent without a weight cache. */
  readonly hasSharedWeights: (() => boolean) | undefined
  readonly #spec: WorkerSpec
  readonly #process: WorkerProcess
  readonly #endWatch: () => void
  #connection: Connection | undefined
  #servedRequests = 0
  #state: WorkerState = 'starting'
  #killedBecause: string | undefined
  /** Whether the worker has replied to the load request. */
  #hasReplied = false
  #isWarmingUp = false
  #modelPid: number | undefined
  #hadShortage = false
  /** Absent unless the worker may send several replies to one request. */
  #streaming: StreamingWorker | undefined

  constructor(spec: WorkerSpec) {
    this.#spec = spec
    this.#process = spec.process
    this.hasSharedWeights = spec.hasSharedWeights
    this.progress = new Progress({
      timeoutMs: spec.responseTimeoutMs,
      maxInFlight: spec.maxInFlight,
      hasBodyFile: spec.process.bodies !== undefined,
      onTimeout: () => this.kill(responseTimeoutText(this.#spec.responseTimeoutMs)),
    })
    this.#process.onLine = (line, stream) => {
      if (stream === 'stdout' && line === spec.warmUpLine) this.#isWarmingUp = true
      spec.onLine(line, stream)
    }
    this.#endWatch = watchForStop(
      () => this.pid,
      () => this.kill('was stopped by a signal'),
    )
    this.exited = this.#process.exited.then((cause) => this.#end(cause))
    this.ready = this.#start()
    this.ready.catch(() => {})
  }

  get state(): WorkerState {
    return this.#state
  }

  /** Id of the process that holds the model. An MMS worker forks, so it may be a child's id. */
  get pid(): number | undefined {
    return this.#modelPid ?? this.#process.pid
  }

  /** Batches that are sent and not yet answered. */
  get inFlight(): number {
    return this.progress.inFlight
  }

  /** Requests that the worker has responded to. */
  get servedRequests(): number {
    return this.#servedRequests
  }

  /** Last lines that the process wrote to stderr, oldest first. */
  get lastErrors(): readonly string[] {
    return this.#process.lastErrors
  }

  /** Whether the worker accepts batches. */
  get isReady(): boolean {
    return this.#state === 'ready'
  }

  /**
   * Sends a batch and resolves with the reply; its predictions are in the order of the requests.
   * If a response is streamed, it resolves after the last part, and `onFirst` gets the responses.
   * @throws WorkerDiedError when the worker is not ready or ends before it answers.
   * @throws ServerError `ResponseTimeoutException` when this batch exceeded the response timeout;
   * the worker is killed.
   */
  predict(requests: readonly ServedRequest[], onFirst?: OnFirst): Promise<WorkerReply> {
    return new Promise((resolve, reject) => {
      const connection = this.#connection
      if (connection === undefined || this.#state !== 'ready')
        throw new WorkerDiedError('was not ready', false)
      const { bodies } = this.#process
      const frame = encodePredict(bodies?.move(requests) ?? requests)
      const number = this.progress.begin()
      const streaming = onFirst && this.#streaming
      const streams = streaming && new BatchStreams(requests, onFirst, streaming)
      const fail = (error: unknown): void => void this.#fail(error, number, [streams?.fail, reject])
      connection.send(frame, {
        takePart: streams && ((reply) => streams.take(reply)),
        resolve: (reply) => {
          this.progress.finish()
          this.#servedRequests += requests.length
          bodies?.release()
          try {
            resolve(streams?.hasBegun === true ? reply : inRequestOrder(requests, reply))
          } catch (error) {
            fail(error)
          }
        },
        reject: fail,
      })
    })
  }

  /** Ends an idle worker with SIGTERM; kills it if it does not end in time. Safe to call again. */
  async stop(): Promise<void> {
    const isLoading = this.#state === 'starting' || this.#state === 'loading'
    if (this.#state !== 'stopped') this.#state = 'stopping'
    this.#connection?.destroy()
    this.#process.terminate()
    const graceMs = isLoading ? LOADING_STOP_GRACE_MS : STOP_GRACE_MS
    const timer = setTimeout(() => this.kill('was told to stop'), graceMs)
    await this.exited
    clearTimeout(timer)
  }

  /** Kills the worker's process group. `because` completes "the worker …". */
  kill(because: string): void {
    if (this.#state === 'stopped' || this.#process.hasExited) return
    this.#killedBecause ??= because
    this.#state = 'stopping'
    this.#process.kill()
  }

  async #start(): Promise<void> {
    const { loadTimeoutMs, lastWords } = this.#spec
    const timer = setTimeout(
      () => this.kill(loadTimeoutText(loadTimeoutMs, this.#isWarmingUp)),
      loadTimeoutMs,
    )
    try {
      const loading = this.#load()
      await Promise.race([
        loading,
        // A worker that failed to load replies, then exits: the reply has the reason.
        this.exited.then(({ text }) =>
          this.#hasReplied ? loading : Promise.reject(loadFailure(text, undefined, lastWords?.())),
        ),
      ])
      // `stop()` may have been called during the load.
      if (this.#state !== 'loading') throw new Error('the worker was told to stop')
      this.#state = 'ready'
    } catch (error) {
      if (error instanceof ServerError) this.kill('could not load the model')
      else await this.#loseConnection(error)
      const { text } = await this.exited
      const failure = error instanceof ServerError ? error : loadFailure(text, error, lastWords?.())
      throw withErrorLog(failure, this.lastErrors)
    } finally {
      clearTimeout(timer)
    }
  }

  async #load(): Promise<void> {
    const { limits, maxInFlight, load, dialect, checkFiles } = this.#spec
    const [checkAgain, connection] = await Promise.all([
      checkFiles?.(),
      this.#process.connect(limits, maxInFlight),
    ])
    this.#connection = connection
    this.#streaming = streamingWorker(this.#spec, connection, this.progress)
    if (this.#state !== 'starting') return connection.destroy()
    this.#state = 'loading'
    void connection.closed.then((error) => this.#loseConnection(error))
    const reply = await new Promise<WorkerReply>((resolve, reject) =>
      connection.send(encodeLoad(load, dialect), { resolve, reject }),
    )
    this.#hasReplied = true
    // Also before a load error is reported: a file that was half written is the real reason.
    await checkAgain?.()
    if (reply.code !== 200) throw loadFailure(reply, undefined, this.#spec.lastWords?.())
    this.#modelPid = modelProcess(reply, this.#process.pid)
    this.#spec.onLoaded?.()
  }

  /**
   * Ends a worker that has lost its socket. A crash closes the socket just before the exit is seen,
   * so this waits for the exit first.
   */
  async #loseConnection(reason: unknown): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') return
    const wasConnected = this.#connection !== undefined
    this.#state = 'stopping'
    this.#hadShortage = isShortage(reason)
    if (reason instanceof ProtocolError) return this.kill(protocolText(reason))
    await Promise.race([this.exited, delay(EXIT_GRACE_MS, undefined, { ref: false })])
    // The event loop may have been busy: one more turn lets an exit event come first.
    await nextTurn()
    this.kill(wasConnected ? 'closed its connection' : 'did not accept the connection')
  }

  #end(cause: ExitCause): ExitCause {
    this.#state = 'stopped'
    this.progress.stop()
    this.#endWatch()
    this.#connection?.destroy()
    return withReason(cause, this.#killedBecause, this.#hadShortage, this.#spec.hasChangedWeights)
  }

  /** Waits until the worker is gone and then tells those who wait for the batch the reason. */
  async #fail(error: unknown, number: number, waiting: (OnFailure | undefined)[]): Promise<void> {
    if (error instanceof ProtocolError) this.kill(protocolText(error))
    const why = batchFailure(await this.exited, this.progress.hasReached(number), this.#spec, error)
    for (const tell of waiting) tell?.(why)
  }
}
