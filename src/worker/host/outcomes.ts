/** What a worker's replies and its end mean to the callers that wait for it. */
import { ProtocolError, ServerError, withoutFolders } from '../../errors.ts'
import type { ErrorType } from '../../errors.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../wire/messages.ts'

/** A batch whose worker ended before it had answered. */
export class WorkerDiedError extends ServerError {
  /** False when the batch had not reached the handler: it is innocent and may simply run elsewhere. */
  readonly hadStarted: boolean
  /** True when the process ended by what it computed, not by a signal from outside or a deadline. */
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

/** What is said of a process that this machine has no resources for at the moment. */
const SHORTAGE = /^could not be started \((?:EMFILE|ENFILE|EAGAIN|ENOMEM)\)/
/** The same of the disk. */
const DISK_IS_FULL = /^could not be started \((?:ENOSPC|EDQUOT)\)/

/** How native code dies of what it was given: of the model while it loads, of a request afterwards. */
const CRASH = /^was killed by SIG(?:SEGV|ABRT|BUS|FPE|ILL|TRAP|SYS)$/
/** The same, or a handler that ends the process, or a heap that is full. */
const OWN_END = /^(?:exited with code|ran out of memory)/

/** Whether a process that ended so did it by itself. `what` as in "it was killed by SIGSEGV". */
export function isCrash(what: string): boolean {
  return CRASH.test(what) || OWN_END.test(what)
}

/**
 * Why a model could not be loaded: the worker's own words, or how its process ended.
 * @param lastWords What its output said, for workers that do not answer with the reason.
 */
export function loadFailure(
  reason: WorkerReply | string,
  cause?: unknown,
  lastWords?: string,
): ServerError {
  const said = lastWords === undefined ? '' : ` It said: ${withoutFolders(lastWords).slice(0, 500)}`
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

/** Why a worker is ended that has not loaded its model in time; completes "the worker …". */
export function loadTimeoutText(timeoutMs: number, isWarmingUp: boolean): string {
  const text = `took longer than ${timeoutMs / 1000} s`
  if (!isWarmingUp) return text
  return (
    `${text} and was in the warm-up run of the model; ` +
    'with "warmUp": false in model.json the model is loaded without this run'
  )
}

/** Why a worker is ended that takes too long for a response. */
export function responseTimeoutText(timeoutMs: number): string {
  return `did not answer within ${timeoutMs / 1000} s`
}

/** Why a worker is ended that sent what it must not. */
export function protocolText(error: ProtocolError): string {
  return `broke the protocol (${error.message})`
}

function endType(reason: string): ErrorType {
  if (SHORTAGE.test(reason)) return 'ServiceUnavailableException'
  if (DISK_IS_FULL.test(reason)) return 'InsufficientMemoryException'
  if (reason.includes('took longer')) return 'ResponseTimeoutException'
  if (reason.includes('out of memory')) return 'InsufficientMemoryException'
  return CRASH.test(reason) ? 'InvalidModelException' : 'InternalServerException'
}

/**
 * Puts the predictions of a reply into the order of the requests. Replies that carry an overall error
 * code speak for the whole batch and pass as they are.
 * @throws ProtocolError when an answer is missing, doubled, or for a request that was not in the batch.
 */
export function inRequestOrder(requests: readonly WireRequest[], reply: WorkerReply): WorkerReply {
  const { predictions } = reply
  if (reply.code !== 200) return reply
  if (predictions.length !== requests.length) {
    throw new ProtocolError(`${predictions.length} answers to ${requests.length} requests`)
  }
  if (requests.every((request, index) => predictions[index]?.id === request.id)) return reply
  const byId = new Map(predictions.map((prediction) => [prediction.id, prediction]))
  const ordered: WirePrediction[] = requests.map((request) => {
    const prediction = byId.get(request.id)
    if (prediction === undefined)
      throw new ProtocolError('an answer to a request that was not in the batch')
    return prediction
  })
  return { ...reply, predictions: ordered }
}
