/** Rejects messages that Node's parser accepts although RFC 9112 does not. */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../../errors.ts'

/** Maximum number of header lines. The limit of their size allows twice as many empty ones. */
const MAX_HEADERS = 2000

/** For `onRequest`. Rejects a request with the problem that {@link messageProblem} finds. */
export function checkMessage(
  { raw }: FastifyRequest,
  _reply: unknown,
  done: (error?: Error) => void,
): void {
  done(messageProblem(raw))
}

/**
 * Why a request is not a valid message of HTTP/1.0 or HTTP/1.1; `undefined` if it is. Node's parser
 * also accepts the versions 0.9 and 2.0, whose messages have another format.
 */
export function messageProblem(request: IncomingMessage): ServerError | undefined {
  const { httpVersion, headers, rawHeaders } = request
  const coding = headers['transfer-encoding']
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return invalid('Only HTTP/1.0 and HTTP/1.1 are supported.')
  }
  if (rawHeaders.length > 2 * MAX_HEADERS) {
    return invalid(`A request may have at most ${MAX_HEADERS} header lines.`, 431)
  }
  // HTTP/1.1 requires the header, which may be empty.
  if (httpVersion === '1.1' && headers.host === undefined) {
    return invalid('The Host header is missing.')
  }
  // Node keeps the first one; a proxy may have used the other.
  if (isRepeated(request, 'host')) return invalid('There is more than one Host header.')
  if (coding === undefined) return undefined
  if (httpVersion === '1.0') return invalid('HTTP/1.0 has no Transfer-Encoding.')
  // Node passes a body in another coding on as it is if `chunked` comes last.
  if (coding.trim().toLowerCase() !== 'chunked') {
    return invalid('The only Transfer-Encoding that is supported is chunked.', 501)
  }
  return undefined
}

/** Whether a request has a header line more than once. `header` is in lower case. */
export function isRepeated({ rawHeaders }: IncomingMessage, header: string): boolean {
  let lines = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (name.length === header.length && name.toLowerCase() === header) lines += 1
  }
  return lines > 1
}

function invalid(text: string, statusCode = 400): ServerError {
  return new ServerError('BadRequestException', text, { statusCode })
}
