/**
 * Every failure the server expects, as one class with a stable `type`, an HTTP status and a text for
 * the caller. The original's names are kept where it has one (its REST errors carry the Java class
 * name as `type`); the table in `docs/errors.md` is generated from `ERROR_TYPES`.
 */

/** Error types and the status each one has unless the thrower says otherwise. */
export const ERROR_TYPES = {
  BadRequestException: 400,
  InvalidInputException: 400,
  InvalidModelException: 400,
  DownloadModelException: 400,
  UnauthorizedException: 401,
  ForbiddenException: 403,
  HandlersNotAllowedException: 403,
  InvalidModelVersionException: 403,
  ModelNotFoundException: 404,
  ModelVersionNotFoundException: 404,
  ResourceNotFoundException: 404,
  MethodNotAllowedException: 405,
  RequestTimeoutException: 408,
  ConflictStatusException: 409,
  PayloadTooLargeException: 413,
  UnsupportedMediaTypeException: 415,
  CrashingRequestException: 422,
  ClientClosedRequestException: 499,
  InternalServerException: 500,
  ServiceUnavailableException: 503,
  ResponseTimeoutException: 504,
  InsufficientMemoryException: 507,
  StateNotSavedException: 507,
} as const

/** Control characters but for tabs and line ends, and what stands for bytes that are not UTF-8. */
const UNPRINTABLE = /(?:(?![\t\r\n])[\p{Cc}\ufffd])+/gu

/** The `type` of an error body. */
export type ErrorType = keyof typeof ERROR_TYPES

/** How an error looks on the MMS and TorchServe routes. */
export interface ErrorBody {
  readonly code: number
  readonly type: string
  readonly message: string
  /** Last lines of a worker that could not load a model; operators alone get to see them. */
  readonly log?: readonly string[]
}

/** Options of {@link ServerError}. */
export interface ServerErrorOptions {
  /** HTTP status; the type's own when absent. */
  readonly statusCode?: number
  readonly cause?: unknown
  /** Seconds for a `Retry-After` header. */
  readonly retryAfterSeconds?: number
  /** Last lines of the worker that failed, oldest first, without folders of this machine. */
  readonly log?: readonly string[]
}

/** A failure that the caller is told about. Its message is public: no path, no socket name, no stack. */
export class ServerError extends Error {
  readonly type: ErrorType
  readonly statusCode: number
  readonly retryAfterSeconds: number | undefined
  readonly log: readonly string[]

  constructor(type: ErrorType, message: string, options: ServerErrorOptions = {}) {
    // Names and values of a client may be in it, which may be any bytes.
    super(
      message.replace(UNPRINTABLE, '?'),
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.name = type
    this.type = type
    this.statusCode = options.statusCode ?? ERROR_TYPES[type]
    this.retryAfterSeconds = options.retryAfterSeconds
    this.log = options.log ?? []
  }

  toBody(): ErrorBody {
    const { statusCode: code, type, message, log } = this
    return { code, type, message, ...(log.length > 0 && { log }) }
  }
}

/** Bytes on a worker socket that break the protocol. The connection cannot be used any more. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** An absolute path in quotes, which may have any characters in it. */
const QUOTED_PATH = /(['"`])\/[^'"`\n]*\/([^'"`/\n]*)\1/g
/**
 * An absolute path of two parts or more. A slash behind a letter, a digit or a dot belongs to a
 * path that begins somewhere else: `ts/torch_handler/x.py` is a file of a model, and `http://…` an
 * address.
 */
const ABSOLUTE_PATH =
  /(?:(file:\/\/)|(?<![\p{L}\p{N}_.@+~%/-])(?<!https?:))(?:\/+[\p{L}\p{M}\p{N}_.@+~%=-]+)+\/+([\p{L}\p{M}\p{N}_.@+~%=-]+)/gu

/**
 * A text without the folders of this machine: callers may read file names, but not where they lie.
 * Relative paths stay as they are: they are those of a model or of a package.
 */
export function withoutFolders(text: string): string {
  return text.replaceAll(QUOTED_PATH, '$1$2$1').replaceAll(ABSOLUTE_PATH, '$1$2')
}

/** Text of anything thrown; handlers throw strings, objects and `undefined` too. At most `limit` characters. */
export function messageOf(thrown: unknown, limit = 4096): string {
  let text: string
  try {
    text = thrown instanceof Error ? thrown.message : String(thrown)
  } catch {
    text = 'an error that has no text'
  }
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}

/** A command line, environment or config file that cannot be used; the message is for the operator. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}
