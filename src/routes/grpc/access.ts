/**
 * Who may connect and call: the one place where the HTTP/2 server of the gRPC listener gets its
 * credentials, and where a call is authorized.
 */
import { createServer } from 'node:http2'
import type { Http2Server, IncomingHttpHeaders, ServerOptions } from 'node:http2'
import type { ServerError } from '../../errors.ts'

/** Creates the server. It does not listen yet. */
export function createGrpcServer(options: ServerOptions): Http2Server {
  return createServer(options)
}

/** Returns why a call is rejected before its messages are read; `undefined` if it is not. */
export type Authorize = (path: string, headers: IncomingHttpHeaders) => ServerError | undefined

/** Every client that can connect may make every call. */
export const allowAll: Authorize = () => undefined
