/** Errors of the server's HTTP APIs, as pages show them. */

/** A request that failed: a response with an error status, or no response. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status; 0 if there was no response. */
  readonly status: number
  /** Stable name of the error, for example `ModelNotFoundException`; empty if there is none. */
  readonly type: string
  /** Last log lines of the worker that caused the error. */
  readonly log: readonly string[]

  constructor(status: number, message: string, type = '', log: readonly string[] = []) {
    super(message)
    this.status = status
    this.type = type
    this.log = log
  }
}

/** Reads the body of a response with an error status, in any dialect of the server. */
export function errorOf(status: number, body: string): ApiError {
  const { message, error, type, log } = membersOf(body)
  const text = [message, error].find((part) => typeof part === 'string') ?? body.slice(0, 500)
  return new ApiError(
    status,
    text === '' ? `The server responded with status ${String(status)}.` : text,
    typeof type === 'string' ? type : '',
    Array.isArray(log) ? log.map(String) : [],
  )
}

/** The error of a request without a response. */
export function unreachable(): ApiError {
  return new ApiError(0, 'The server cannot be reached.')
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function membersOf(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
