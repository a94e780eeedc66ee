/** Who may connect and call: the credentials of the listener, and the senders of its calls. */
import { createSecureServer, createServer } from 'node:http2'
import type { Http2SecureServer, Http2Server, ServerOptions } from 'node:http2'
import { authorize } from '../http/access/authorize.ts'
import { NOBODY } from '../http/access/caller.ts'
import type { Caller } from '../http/access/caller.ts'
import type { ServerAccess } from '../http/access/server-access.ts'
import type { ServerTls } from '../http/access/tls.ts'
import type { Call } from './transport/call.ts'

export type GrpcServer = Http2Server | Http2SecureServer

/** Calls that need no token. They tell nothing about models to a caller without one. */
const OPEN = /^\/(?:grpc\.(?:health|reflection)\.|inference\.GRPCInferenceService\/Server)/

/**
 * Creates the server. It does not listen yet.
 * @param tls Absent for connections without encryption.
 */
export function createGrpcServer(options: ServerOptions, tls: ServerTls | undefined): GrpcServer {
  if (tls === undefined) return createServer(options)
  const server = createSecureServer({ ...options, ...tls.options })
  tls.add(server)
  return server
}

/**
 * Returns the sender of a call; `undefined` if calls need no token.
 * @throws TokenError before the messages of the call are read.
 */
export function callerOfCall(
  { tokens }: ServerAccess,
  { path, headers }: Pick<Call, 'path' | 'headers'>,
): Caller | undefined {
  if (tokens === undefined || !tokens.guards('inference')) return undefined
  const { authorization } = headers
  if (authorization === undefined && OPEN.test(path)) return NOBODY
  return authorize(tokens, 'inference', authorization)
}
