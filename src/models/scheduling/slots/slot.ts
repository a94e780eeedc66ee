import type { Logger } from 'pino'
import { ServerError, messageOf } from '../../../errors.ts'
import type { ServedRequest } from '../../../worker/host/calls/call-channel.ts'
import { isCrash } from '../../../worker/host/outcomes.ts'
import type { Progress } from '../../../worker/host/progress.ts'
import type { Worker } from '../../../worker/host/worker.ts'
import type { WorkerReply } from '../../../worker/wire/messages.ts'
import { restartCause } from '../../metrics/causes.ts'
import type { RestartCause } from '../../metrics/causes.ts'
import type { VersionMetrics } from '../../metrics/version-metrics.ts'
import { waitAtMost } from '../../wait-at-most.ts'
import type { ProgressFacts } from '../dispatch-policy.ts'
import { shortageDelayMs } from './backoff.ts'
import type { RestartPolicy } from './backoff.ts'

/** The part of a worker that a pool uses. */
export type PoolWorker = Pick<
  Worker,
  | 'predict'
  | 'ready'
  | 'exited'
  | 'stop'
  | 'kill'
  | 'state'
  | 'pid'
  | 'isReady'
  | 'inFlight'
  | 'servedRequests'
  | 'startedAt'
  | 'startedAtMs'
  | 'lastErrors'
  | 'hasSharedWeights'
> & { readonly progress: ProgressFacts & Pick<Progress, 'recordIdleWhileWaited'> }

/** What the slots of one pool share. */
export interface SlotContext {
  readonly modelName: string
  readonly startWorker: (slotId: number) => PoolWorker
  readonly restarts: RestartPolicy
  readonly metrics: VersionMetrics
  readonly log: Logger
  /** A worker became ready or died: work may be sent, or no worker may be left for it. */
  readonly onChange: () => void
}

/**
 * Maximum number of starts of a slot's first worker, within about 3 seconds, if the machine has no
 * resources for it.
 */
const FIRST_STARTS = 8
/** Reply code of a worker that has no memory for a batch. */
const MEMORY_IS_FULL = 507

/**
 * A place for one worker. When the worker dies, the slot starts another and keeps its id and its
 * history.
 */
export class Slot {
  readonly id: number
  /** Workers started after the first. */
  restarts = 0
  /** When a batch last came back, on the clock of `performance.now()`. */
  returnedAt = 0
  /** Why the last worker died, for the model's description. */
  lastFailure: string | undefined
  readonly #context: SlotContext
  #worker: PoolWorker
  /** Deaths in a row that the model probably caused. */
  #failures = 0
  /**
   * `undefined` until the worker has finished a batch with enough memory: before that, its memory
   * may be too small for the model.
   */
  #memoryFailures: number | undefined
  #lastCause: RestartCause = 'other'
  #sayIdle: (() => void) | undefined
  #isRetired = false
  #sayRetired: () => void = () => {}
  readonly #retired = new Promise<void>((resolve) => (this.#sayRetired = resolve))

  constructor(id: number, context: SlotContext) {
    this.id = id
    this.#context = context
    this.#worker = context.startWorker(id)
  }

  get worker(): PoolWorker {
    return this.#worker
  }

  /**
   * Resolves when the first worker is ready; from then on it is replaced when it dies. Rejects if
   * it cannot load the model.
   * @throws ServerError `ConflictStatusException` if the slot is retired before that.
   */
  async start(): Promise<void> {
    for (let starts = 1; ; starts += 1) {
      try {
        await this.#worker.ready
        break
      } catch (error) {
        if (!this.#isRetired) await this.#startAgain(error, starts)
        if (this.#isRetired) throw overtaken(error)
      }
    }
    void this.#supervise()
    this.#context.onChange()
  }

  /** Batches in a row that ran out of memory, after one that did not. */
  get memoryFailures(): number {
    return this.#memoryFailures ?? 0
  }

  /**
   * The worker finished a batch with `code` for the whole batch, so neither the worker nor the
   * model is broken.
   */
  recordSuccess(code: number): void {
    this.#failures = 0
    this.#context.restarts.recordSuccess()
    if (code !== MEMORY_IS_FULL) this.#memoryFailures = 0
    else if (this.#memoryFailures !== undefined) this.#memoryFailures += 1
  }

  /** A batch came back at `now`, with or without a response. */
  recordReturn(now: number): void {
    this.returnedAt = now
    if (this.#worker.inFlight === 0) this.#sayIdle?.()
  }

  /**
   * Runs a request that no client waits for. The worker should be idle: requests that come later
   * wait for the end of the run.
   */
  async runUnasked(request: ServedRequest): Promise<WorkerReply> {
    try {
      const reply = await this.#worker.predict([request], ({ stream }) => stream?.cancel())
      this.recordSuccess(reply.code)
      return reply
    } finally {
      this.recordReturn(performance.now())
      this.#context.onChange()
    }
  }

  /**
   * Stops the worker for good: when its batches are done, or by force after `patienceMs`. May be
   * called again with a shorter time.
   */
  async retire(patienceMs: number): Promise<void> {
    this.#isRetired = true
    this.#sayRetired()
    const worker = this.#worker
    if (patienceMs > 0 && worker.state === 'ready' && worker.inFlight > 0) {
      const isIdle = new Promise<void>((resolve) => (this.#sayIdle = resolve))
      await waitAtMost(patienceMs, Promise.race([isIdle, worker.exited]))
    }
    if (worker.inFlight > 0) worker.kill('did not finish its requests in the allowed time')
    await worker.stop()
  }

  /**
   * Starts the worker again if the start failed for lack of resources, or because files of the
   * weight cache were changed; throws any other failure.
   */
  async #startAgain(error: unknown, starts: number): Promise<void> {
    const { isShortage = false, hasChangedWeights = false } = await this.#worker.exited
    if (!(isShortage || hasChangedWeights) || starts === FIRST_STARTS) throw error
    await waitAtMost(shortageDelayMs(starts), this.#retired)
    if (!this.#isRetired) this.#worker = this.#context.startWorker(this.id)
  }

  /** Replaces the worker each time it dies, until the slot is retired. */
  async #supervise(): Promise<void> {
    const { startWorker, onChange, metrics } = this.#context
    for (;;) {
      await this.#worker.exited
      if (this.#isRetired) return
      const waitMs = await this.#recordDeath()
      onChange()
      await waitAtMost(waitMs, this.#retired)
      if (this.#isRetired) return
      this.restarts += 1
      metrics.restarts[this.#lastCause] += 1
      this.#worker = startWorker(this.id)
      this.#memoryFailures = undefined
      // A worker that does not become ready exits, which the loop above handles.
      this.#worker.ready.then(onChange, () => {})
    }
  }

  /** Returns the milliseconds to wait before the next start. */
  async #recordDeath(): Promise<number> {
    const { modelName, restarts, log } = this.#context
    const worker = this.#worker
    const { text, isShortage = false, hasChangedWeights = false } = await worker.exited
    const loadFailure = await worker.ready.then(() => undefined, messageOf)
    this.lastFailure = loadFailure ?? `The worker ${text}.`
    this.#lastCause = restartCause(text, loadFailure === undefined)
    const isAtWork = worker.inFlight > 0
    const isSuspicious =
      !isShortage && !hasChangedWeights && (loadFailure !== undefined || isAtWork)
    // A request that crashes workers or takes too long must not close the model for other requests.
    const isByRequest = loadFailure === undefined && isAtWork && isEndByRequest(text)
    if (isSuspicious && !isByRequest) restarts.recordDeath()
    this.#failures = isSuspicious || isShortage ? this.#failures + 1 : 0
    const restartInMs = restarts.delayMs(this.#failures)
    log.warn(
      {
        model: modelName,
        worker: this.id,
        pid: worker.pid,
        cause: this.lastFailure,
        stderr: worker.lastErrors.slice(-5),
        restartInMs,
      },
      'worker died',
    )
    return restartInMs
  }
}

/** Whether the request that the worker was running caused its end. */
function isEndByRequest(text: string): boolean {
  return isCrash(text) || restartCause(text, true) === 'timeout'
}

/** The model works: a later request wanted fewer workers or none. */
function overtaken(cause: unknown): ServerError {
  const text = 'A later request stopped the workers before they were ready.'
  return new ServerError('ConflictStatusException', text, { cause })
}
