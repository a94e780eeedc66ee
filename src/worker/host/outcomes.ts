/**
 * Turns a worker's replies and its end into results and errors for the callers that wait for it.
 */
import { ProtocolError, ServerError, withoutFolders } from '../../errors.ts'
import type { ErrorType } from '../../errors.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../wire/messages.ts'
import type { ExitCause } from './child-process/child.ts'

/** The worker ended before it answered this batch. */
export class WorkerDiedError extends ServerError {
  /**
   * False when the batch had not reached the handler: it did not cause the end and may run on
   * another worker.
   */
  readonly hadStarted: boolean
  /** True when the computation ended the process; false for an external signal or a deadline. */
  readonly isCrash: boolean

  constructor(what: string, hadStarted: boolean, cause?: unknown) {
    const type = what.includes('out of memory')
      ? 'InsufficientMemoryException'
      : 'InternalServerException'
    super(type, `Worker died: it ${what}.`, { cause })
    this.hadStarted = hadStarted
    this.isCrash = isCrash(what)
  }
}

const LOAD_CODES: ReadonlyMap<number, ErrorType> = new Map([
  [400, 'InvalidModelException'],
  [403, 'HandlersNotAllowedException'],
  [507, 'InsufficientMemoryException'],
])

/**
 * Text of a process that could not start because the machine lacks descriptors, processes or
 * memory.
 */
const SHORTAGE = /^could not be started \((?:EMFILE|ENFILE|EAGAIN|ENOMEM)\)/
/** Text of a process that could not start because the disk is full. */
const DISK_IS_FULL = /^could not be started \((?:ENOSPC|EDQUOT)\)/

/** Completes "the worker …". */
const CHANGED_WEIGHTS = 'had mapped weights that were changed on the disk'
/** Native code was killed by what it computed: the model while it loads, a request afterwards. */
const CRASH = /^was killed by SIG(?:SEGV|ABRT|BUS|FPE|ILL|TRAP|SYS)$/
/** A handler ended the process, or the heap is full. */
const OWN_END = /^(?:exited with code|ran out of memory)/

/**
 * Whether a process that ended in this way caused its own end. `what` completes "it …", such as
 * "was killed by SIGSEGV".
 */
export function isCrash(what: string): boolean {
  return CRASH.test(what) || OWN_END.test(what)
}

/**
 * Builds the error of a model that could not be loaded, from the worker's reply or from the way its
 * process ended.
 * @param lastWords Errors from the worker's output, for workers that do not reply with the reason.
 */
export function loadFailure(
  reason: WorkerReply | string,
  cause?: unknown,
  lastWords?: string,
): ServerError {
  const said =
    lastWords === undefined
      ? ''
      : ` Its last error output: ${withoutFolders(lastWords).slice(0, 500)}`
  if (typeof reason === 'string') {
    const text = `Failed to start workers: the worker ${reason}.${said}`
    return new ServerError(endType(reason), text, {
      cause,
    })
  }
  const type = LOAD_CODES.get(reason.code) ?? 'InternalServerException'
  return new ServerError(
    type,
    `Failed to start workers: ${withoutFolders(reason.message)}${said && `.${said}`}`,
  )
}

/** The error of a reply with a code that applies to all its predictions. */
export function replyError({ code, message }: WorkerReply): ServerError {
  const statusCode = code >= 400 && code <= 599 ? code : 500
  return new ServerError('InternalServerException', message, { statusCode })
}

/** Why a worker that did not load its model in time is killed; completes "the worker …". */
export function loadTimeoutText(timeoutMs: number, isWarmingUp: boolean): string {
  const text = `took longer than ${timeoutMs / 1000} s`
  if (!isWarmingUp) return text
  return (
    `${text} and was still in the warm-up run of the model; ` +
    'set "warmUp": false in model.json to load the model without this run'
  )
}

/** Why a worker that did not respond in time is killed; completes "the worker …". */
export function responseTimeoutText(timeoutMs: number): string {
  return `did not respond within ${timeoutMs / 1000} s`
}

/** The cause of an end, with what the front-end knows about it. */
export function withReason(
  cause: ExitCause,
  killedBecause: string | undefined,
  hadShortage: boolean,
  hasChangedWeights?: () => boolean,
): ExitCause {
  const text = killedBecause ?? cause.text
  if (isCrash(text) && hasChangedWeights?.() === true)
    return { ...cause, text: CHANGED_WEIGHTS, hasChangedWeights: true }
  return { ...cause, text, ...(hadShortage && { isShortage: true }) }
}

/**
 * The error of a batch that got no reply.
 * @param hasReached Whether the worker had begun with the batch.
 */
export function batchFailure(
  { text, hasChangedWeights = false }: Pick<ExitCause, 'text' | 'hasChangedWeights'>,
  hasReached: boolean,
  { responseTimeoutMs }: { readonly responseTimeoutMs: number },
  cause: unknown,
): ServerError {
  if (hasReached && text === responseTimeoutText(responseTimeoutMs)) {
    const message = `The model did not respond within ${responseTimeoutMs / 1000} s.`
    return new ServerError('ResponseTimeoutException', message, { cause })
  }
  // Weights that were changed on the disk are not the fault of a request, so it may run again.
  return new WorkerDiedError(text, hasReached && !hasChangedWeights, cause)
}

/** Why a worker that sent invalid bytes is killed; completes "the worker …". */
export function protocolText(error: ProtocolError): string {
  return `violated the worker protocol (${error.message})`
}

function endType(reason: string): ErrorType {
  if (SHORTAGE.test(reason)) return 'ServiceUnavailableException'
  if (DISK_IS_FULL.test(reason)) return 'InsufficientMemoryException'
  if (reason.includes('took longer')) return 'ResponseTimeoutException'
  if (reason.includes('out of memory')) return 'InsufficientMemoryException'
  return CRASH.test(reason) ? 'InvalidModelException' : 'InternalServerException'
}

/**
 * Puts the predictions of a reply into the order of the requests. A reply with an overall error
 * code applies to the whole batch and is returned unchanged.
 * @throws ProtocolError when a prediction is missing, occurs twice, or belongs to no request of the
 * batch.
 */
export function inRequestOrder(requests: readonly WireRequest[], reply: WorkerReply): WorkerReply {
  const { predictions } = reply
  if (reply.code !== 200) return reply
  if (predictions.length !== requests.length) {
    throw new ProtocolError(
      `a reply with ${predictions.length} predictions to a batch of ${requests.length} requests`,
    )
  }
  if (requests.every((request, index) => predictions[index]?.id === request.id)) return reply
  const byId = new Map(predictions.map((prediction) => [prediction.id, prediction]))
  const ordered: WirePrediction[] = requests.map((request) => {
    const prediction = byId.get(request.id)
    if (prediction === undefined)
      throw new ProtocolError('a reply with a prediction for a request that was not in the batch')
    return prediction
  })
  return { ...reply, predictions: ordered }
}
