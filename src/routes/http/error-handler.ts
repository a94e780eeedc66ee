import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { errorBodyFor } from '../../contract/error-bodies.ts'
import type { Dialect } from '../../contract/internal-headers.ts'
import { ServerError, messageOf } from '../../errors.ts'
import type { ErrorType } from '../../errors.ts'
import type { App } from '../route-context.ts'
import { TokenError } from './access/caller.ts'
import { UnsupportedCodingError } from './content-encoding.ts'

/** Client errors of Fastify and its plugins, by their code. */
const CLIENT_ERRORS: ReadonlyMap<string, (message: string) => ServerError> = new Map<
  string,
  (message: string) => ServerError
>([
  ['FST_ERR_VALIDATION', (message) => new ServerError('BadRequestException', message)],
  [
    'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    () =>
      new ServerError(
        'UnsupportedMediaTypeException',
        'The Content-Type header is not a valid media type, for example application/json.',
      ),
  ],
  [
    'FST_REQ_FILE_TOO_LARGE',
    () => new ServerError('PayloadTooLargeException', 'A part of the multipart body is too large.'),
  ],
  [
    'FST_PARTS_LIMIT',
    () => new ServerError('PayloadTooLargeException', 'The multipart body has too many parts.'),
  ],
  [
    'FST_FIELDS_LIMIT',
    () => new ServerError('PayloadTooLargeException', 'The multipart body has too many fields.'),
  ],
  [
    'FST_FILES_LIMIT',
    () => new ServerError('PayloadTooLargeException', 'The multipart body has too many files.'),
  ],
])

/** Advice for a wrong path or method. */
const PATHS_ARE_IN = 'GET /openapi.json lists all paths and methods.'
/** Error types for Fastify errors that have no entry in `CLIENT_ERRORS`, by their status. */
const BY_STATUS: ReadonlyMap<number, ErrorType> = new Map([
  [413, 'PayloadTooLargeException'],
  [415, 'UnsupportedMediaTypeException'],
])

const NOT_IMPLEMENTED = 501
/** Paths whose errors have the form of a dialect; the first that fits counts. */
const DIALECT_PATHS: readonly (readonly [path: RegExp, dialect: Dialect])[] = [
  [/^\/v1\/embeddings\/?(?:\?|$)/, 'embeddings'],
  [/^\/v1\/rerank\/?(?:\?|$)/, 'rerank'],
  [
    /^(?:\/models\/[^/?]+)?\/(?:embed(?:_all|_sparse)?|predict|rerank|similarity|tokenize|decode|info)\/?(?:\?|$)/,
    'tei-embed',
  ],
  [/^\/v[12](?:[/?]|$)/, 'v2'],
]

/**
 * Sends every error with the error body of its REST dialect, also for unknown paths and methods.
 */
export function errorHandling(app: App): void {
  app.setErrorHandler((error: FastifyError, request, reply) =>
    sendError(asServerError(error), error, request, reply),
  )
  app.setNotFoundHandler((request, reply) => {
    const error = notFound()
    return sendError(error, error, request, reply)
  })
}

/**
 * The error for a path without a route.
 * @param hint A sentence that follows the text.
 */
export function notFound(hint = ''): ServerError {
  return new ServerError(
    'ResourceNotFoundException',
    `Requested resource is not found, please refer to API document. ${PATHS_ARE_IN} ${hint}`.trim(),
  )
}

/**
 * Rejects methods that a path does not support with 405, and unknown paths with 404, before a body
 * is read. Call it after the last route is added.
 */
export function refuseOtherMethods(
  app: App,
  routes: ReadonlyMap<string, ReadonlySet<string>>,
): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.is404) done(notFound())
    else done()
  })
  for (const [url, methods] of routes) {
    // A copy, because adding the route below changes `methods`.
    const allowed = new Set(methods)
    app.route({
      method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'].filter(
        (method) => !allowed.has(method),
      ),
      url,
      onRequest: (_request, reply, done) => {
        reply.header('allow', [...allowed].join(', '))
        done(
          new ServerError(
            'MethodNotAllowedException',
            `Requested method is not allowed, please refer to API document. ${PATHS_ARE_IN}`,
          ),
        )
      },
      // Never called: the hook has sent the error.
      handler: (_request, reply) => reply,
    })
  }
}

function asServerError(error: FastifyError): ServerError {
  if (error instanceof ServerError) return error
  const known = CLIENT_ERRORS.get(error.code)
  if (known !== undefined) return known(error.message)
  // The multipart parser throws plain errors for a missing boundary or a body that ends too early.
  const isMultipart =
    error.code === undefined && /multipart|boundary|unexpected end of/i.test(error.message)
  const status = isMultipart ? 400 : (error.statusCode ?? 500)
  if (status < 500)
    return new ServerError(BY_STATUS.get(status) ?? 'BadRequestException', error.message, {
      statusCode: status,
      cause: error,
    })
  return new ServerError('InternalServerException', 'The server failed to handle the request.', {
    cause: error,
  })
}

function sendError(
  error: ServerError,
  original: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  // Rejections because of overload are counted instead: a log line with a stack for each would add
  // load. 501 is the client's mistake.
  const isOurs = error.statusCode >= 500 && error.statusCode !== NOT_IMPLEMENTED
  if (isOurs && error.retryAfterSeconds === undefined) {
    request.log.warn(
      { requestId: request.id, type: error.type, reason: messageOf(original), err: original },
      'request failed',
    )
  }
  if (error.retryAfterSeconds !== undefined)
    reply.header('retry-after', String(error.retryAfterSeconds))
  request.errorType = error.type
  const timing: string[] = []
  request.times?.addHeaders(timing, request)
  for (let index = 0; index < timing.length; index += 2)
    reply.header(timing[index] ?? '', timing[index + 1])
  if (error instanceof TokenError) reply.header('www-authenticate', error.challenge)
  if (error instanceof UnsupportedCodingError) reply.header('accept-encoding', error.acceptEncoding)
  if (error.statusCode === 413) reply.raw.shouldKeepAlive = false
  // Sent as text, because the handler of unknown paths does not use the app's serializer.
  return reply.code(error.statusCode).type('application/json').send(errorText(error, request.url))
}

/** The error body for a URL: in the form of the path's dialect, else that of MMS. */
export function errorText(error: ServerError, url: string): string {
  const dialect = DIALECT_PATHS.find(([path]) => path.test(url))?.[1]
  if (dialect !== undefined) return JSON.stringify(errorBodyFor(error, dialect))
  return `${JSON.stringify(error.toBody(), null, 2)}\n`
}
