/**
 * Every failure that the server expects: one class with a stable `type`, an HTTP status and a text
 * for the caller. Names of MMS are kept where MMS has one (its REST errors carry the name of the
 * Java class as `type`). The table in `docs/errors.md` is generated from `ERROR_TYPES`.
 */

/** Error types, each with its default HTTP status. */
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
  TooManyRequestsException: 429,
  ClientClosedRequestException: 499,
  InternalServerException: 500,
  ServiceUnavailableException: 503,
  ResponseTimeoutException: 504,
  InsufficientMemoryException: 507,
  StateNotSavedException: 507,
} as const

/**
 * Control characters except tabs and line ends, and U+FFFD, which replaces bytes that are not
 * UTF-8.
 */
const UNPRINTABLE = /(?:(?![\t\r\n])[\p{Cc}\ufffd])+/gu

/** The `type` of an error body. */
export type ErrorType = keyof typeof ERROR_TYPES

/** The body of an error on the MMS and TorchServe routes. */
export interface ErrorBody {
  readonly code: number
  readonly type: string
  readonly message: string
  /** Last lines of a worker that could not load a model. Only operators see them. */
  readonly log?: readonly string[]
}

/** Options of {@link ServerError}. */
export interface ServerErrorOptions {
  /** HTTP status; default: the one in {@link ERROR_TYPES}. */
  readonly statusCode?: number
  readonly cause?: unknown
  /** Seconds for a `Retry-After` header. */
  readonly retryAfterSeconds?: number
  /** Last lines of the failed worker, oldest first, without the folders of this machine. */
  readonly log?: readonly string[]
}

/**
 * A failure that is reported to the caller. Its message is public: it must contain no path, no
 * socket name and no stack.
 */
export class ServerError extends Error {
  readonly type: ErrorType
  readonly statusCode: number
  readonly retryAfterSeconds: number | undefined
  readonly log: readonly string[]

  constructor(type: ErrorType, message: string, options: ServerErrorOptions = {}) {
    // The message may contain names and values of a client, with any characters.
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

/**
 * Returns the lines that say more than the reason. A worker writes the reason to its standard error
 * too, which people would read twice.
 */
export function linesBeyond(reason: string, lines: readonly string[]): string[] {
  const sentence = reason.replace(/^Failed to start workers: /, '')
  return lines.filter((line) => !line.includes(sentence))
}

/** Bytes on a worker socket that break the protocol. The connection cannot be used any more. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** An absolute path in quotes. It may contain any characters. */
const QUOTED_PATH = /(['"`])\/[^'"`\n]*\/([^'"`/\n]*)\1/g
/**
 * An absolute path of two parts or more. A slash after a letter, a digit or a dot is not its start:
 * `ts/torch_handler/x.py` is a file of a model, and `http://…` is a URL.
 */
const ABSOLUTE_PATH =
  /(?:(file:\/\/)|(?<![\p{L}\p{N}_.@+~%/-])(?<!https?:))(?:\/+[\p{L}\p{M}\p{N}_.@+~%=-]+)+\/+([\p{L}\p{M}\p{N}_.@+~%=-]+)/gu

/**
 * Removes the folders of this machine from a text: callers may see file names, but not their
 * location. Relative paths stay, because they belong to a model or a package.
 */
export function withoutFolders(text: string): string {
  return text.replaceAll(QUOTED_PATH, '$1$2$1').replaceAll(ABSOLUTE_PATH, '$1$2')
}

/**
 * Returns the text of a thrown value, cut to `limit` characters. Handlers also throw strings,
 * objects and `undefined`.
 */
export function messageOf(thrown: unknown, limit = 4096): string {
  let text: string
  try {
    text = thrown instanceof Error ? thrown.message : String(thrown)
  } catch {
    text = 'an error without a message'
  }
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}

const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of its path is not a folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
}

/** Why a file or folder cannot be used, for a sentence that names it. */
export function fileProblem(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return FILE_PROBLEMS[code] ?? messageOf(cause)
}

/**
 * A command line, environment or config file that cannot be used. The message is for the operator.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}
