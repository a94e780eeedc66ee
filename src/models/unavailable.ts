import { ServerError, messageOf, withoutFolders } from '../errors.ts'
import { codeOf } from '../system/process-identity.ts'

/** Seconds until a failed model is tried again. */
const RETRY_FAILED_SECONDS = 60

/** The error if no worker can take a request because the queue is full. */
export function overloaded(
  modelName: string,
  retryAfterSeconds: number,
  statusCode: number,
): ServerError {
  const text = `No worker is available to serve request for model: ${modelName}. Consider increasing job queue size.`
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds, statusCode })
}

/** The error while a model has no worker because it was registered with none, or scaled to none. */
export function withoutWorkers(
  modelName: string,
  version: string,
  retryAfterSeconds: number,
): ServerError {
  const text = `No worker is available to serve request for model: ${modelName}. It has no workers. Start one on the management listener: PUT /models/${modelName}/${version}?min_worker=1`
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds })
}

/** The error for a request that comes while its model ends. */
export function unloading(modelName: string, retryAfterSeconds: number): ServerError {
  const text = `No worker is available to serve request for model: ${modelName}. The model is being unloaded.`
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds })
}

/**
 * The error if no worker took a request in time.
 * @param limitMs The server's limit, if that was exceeded; `undefined` if the request's own
 * deadline was.
 */
export function outOfTime(
  modelName: string,
  retryAfterSeconds: number,
  limitMs: number | undefined,
): ServerError {
  const limit =
    limitMs === undefined
      ? "before the request's deadline."
      : `within ${limitMs / 1000} s (queueTimeout). Try again later. If this happens often, add workers.`
  const text = `No worker became available for model ${modelName} ${limit}`
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds })
}

/** The error for a body that crashed two workers. */
export function crashing(modelName: string, retryAfterSeconds: number): ServerError {
  const text = `This request has crashed two workers of model ${modelName}. It is rejected for ${retryAfterSeconds} s.`
  return new ServerError('CrashingRequestException', text, { retryAfterSeconds })
}

/** The error while a model has failed. `failure` is the reason why its last worker died. */
export function failed(modelName: string, failure: string): ServerError {
  const text =
    `Model ${modelName} has failed because its workers died repeatedly. ${failure}`.trim()
  return new ServerError('ServiceUnavailableException', text, {
    retryAfterSeconds: RETRY_FAILED_SECONDS,
  })
}

/** The error for a request or a load that begins while the server stops. */
export function stopping(): ServerError {
  return new ServerError('ServiceUnavailableException', 'The server is stopping.')
}

/** Why a file cannot be written, by system error code. */
const WRITE_PROBLEMS: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'its disk is full'],
  ['EDQUOT', 'the disk quota of the server is exceeded'],
  ['EFBIG', 'the file size limit of the server process (ulimit -f) is too small'],
  ['EROFS', 'its file system is read-only'],
  ['EACCES', 'the server has no write permission'],
  ['EPERM', 'the server has no write permission'],
  ['ENOENT', 'it no longer exists'],
])

/** The error for a change that was reverted because it could not be saved in the state folder. */
export function notSaved(cause: unknown): ServerError {
  const system = cause instanceof Error ? cause.cause : undefined
  const code = codeOf(system) ?? codeOf(cause) ?? ''
  const problem = WRITE_PROBLEMS.get(code)
  const reason =
    problem === undefined
      ? withoutFolders(messageOf(cause, 500))
      : `The state folder cannot be written: ${problem} (${code}).`
  const text = `The change could not be saved and has no effect. ${reason}`
  return new ServerError('StateNotSavedException', text, { cause })
}
