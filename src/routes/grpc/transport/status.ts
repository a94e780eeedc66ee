/** Status codes of gRPC, and the one for each error of the server. */
import { ServerError, messageOf } from '../../../errors.ts'
import type { ErrorType } from '../../../errors.ts'

/** The codes that this server sends. */
export const CODES = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const
export type Code = keyof typeof CODES

/** The code for an HTTP status. Others below 500 are mistakes of the client. */
const BY_STATUS: ReadonlyMap<number, Code> = new Map<number, Code>([
  [401, 'UNAUTHENTICATED'],
  [403, 'PERMISSION_DENIED'],
  [404, 'NOT_FOUND'],
  [405, 'UNIMPLEMENTED'],
  [408, 'DEADLINE_EXCEEDED'],
  [409, 'ABORTED'],
  [413, 'RESOURCE_EXHAUSTED'],
  [429, 'RESOURCE_EXHAUSTED'],
  [499, 'CANCELLED'],
  [501, 'UNIMPLEMENTED'],
  [503, 'UNAVAILABLE'],
  [504, 'DEADLINE_EXCEEDED'],
  [507, 'RESOURCE_EXHAUSTED'],
])
const NOT_IMPLEMENTED = 501
/** Clients reject a response with more than 8 KiB of headers; a character takes up to 9 bytes. */
const MAX_MESSAGE = 800
const PLAIN = /^[\x20-\x24\x26-\x7e]*$/
const PERCENT = 0x25
const IN_MS = 1000

/** Returns the code for an HTTP status. */
export function codeFor(status: number): Code {
  if (status < 400) return 'OK'
  return BY_STATUS.get(status) ?? (status < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL')
}

/** A call that this server does not offer. */
export function unimplemented(message: string): ServerError {
  return new ServerError('MethodNotAllowedException', message, { statusCode: NOT_IMPLEMENTED })
}

/** The deadline of a call has passed. */
export function tooLate(timeoutMs: number): ServerError {
  const text = `The deadline of the call has passed; it was ${Math.round(timeoutMs)} ms.`
  return new ServerError('RequestTimeoutException', text)
}

/** A call with no or several messages, to a method that takes one. */
export function wrongCount(count: string, isCut: boolean): ServerError {
  const text = isCut
    ? 'The request message is incomplete.'
    : `The call has ${count}; this method takes one.`
  return new ServerError('BadRequestException', text)
}

/** Converts what a handler has thrown. The text of an unexpected error stays in the log. */
export function asServerError(thrown: unknown): ServerError {
  if (thrown instanceof ServerError) return thrown
  const text = 'The server failed to handle the request.'
  return new ServerError('InternalServerException', text, { cause: thrown })
}

/** The error of a response that a worker wrote. */
export function errorOfResponse(status: number, body: Buffer): ServerError {
  const type: ErrorType = status < 500 ? 'InvalidInputException' : 'InternalServerException'
  return new ServerError(type, textOf(body), { statusCode: status })
}

function textOf(body: Buffer): string {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8', 0, 64 * 1024))
    if (typeof parsed === 'object' && parsed !== null && 'error' in parsed)
      return messageOf(parsed.error)
  } catch {
    // Another form than that of the built-in handlers.
  }
  return 'The worker could not handle the request.'
}

/** The trailers of a call without an error. */
export const OK_TRAILERS = { 'grpc-status': String(CODES.OK) }

/**
 * The trailers of a call with an error. They say when to try again: in seconds as over HTTP, and in
 * milliseconds for clients that retry by themselves.
 */
export function errorTrailers(
  code: Code,
  { message, retryAfterSeconds: seconds }: ServerError,
): Readonly<Record<string, string>> {
  return {
    'grpc-status': String(CODES[code]),
    'grpc-message': encodeMessage(message),
    ...(seconds !== undefined && {
      'retry-after': String(seconds),
      'grpc-retry-pushback-ms': String(Math.round(seconds * IN_MS)),
    }),
  }
}

/** Encodes a text for the header `grpc-message`: UTF-8, with `%XX` for all but printable ASCII. */
export function encodeMessage(text: string): string {
  const shown = text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text
  if (PLAIN.test(shown)) return shown
  let encoded = ''
  for (const byte of Buffer.from(shown)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== PERCENT
    encoded += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}
