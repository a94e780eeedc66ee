/** Starts the listeners of a server. */
import type { Server } from 'node:net'
import type { Logger } from 'pino'
import type { App, RouteContext } from './routes/route-context.ts'

/** A listener, to be stopped. */
export type OpenListener = Pick<
  App['openRequests'],
  'hasClientsWithin' | 'startDraining' | 'stopListening' | 'close'
>

/** Where a server listens. */
export interface Addresses {
  readonly inferenceUrl: string
  readonly managementUrl: string
  /** Host and port of the gRPC listener; `undefined` if there is none. */
  readonly grpcAddress: string | undefined
}

/** The addresses, and the sockets that other HTTP processes of the server may share. */
interface Listeners extends Addresses {
  readonly inferenceServer: Server
  /** Absent if there is no gRPC listener. */
  readonly grpcServer: Server | undefined
}

/**
 * One listener for clients and one for operators, or one for both if host and port are equal.
 * @param reusePort Set if other processes of this server will listen on the ports for clients.
 */
export async function listenAll(
  context: RouteContext,
  log: Logger,
  listeners: OpenListener[],
  signal: AbortSignal,
  reusePort?: 'first',
): Promise<Listeners> {
  // The first worker starts while this process loads the code of its HTTP side.
  const { buildCombinedApp, buildInferenceApp, buildManagementApp } = await import('./app.ts')
  const { listen } = await import('./routes/http/connections/listen.ts')
  signal.throwIfAborted()
  const { host, port, managementHost, managementPort } = context.config
  const isSecure = context.access.tls !== undefined
  const place = { host, port, hostFlag: '--host', portFlag: '--port', isSecure, reusePort }
  if (port !== 0 && port === managementPort && host === managementHost) {
    const combined = await buildCombinedApp(context, log)
    listeners.push(combined.openRequests)
    signal.throwIfAborted()
    const url = await listen(combined, place)
    const grpc = await listenForGrpc(context, log, listeners)
    return { inferenceUrl: url, managementUrl: url, ...grpc, inferenceServer: combined.server }
  }
  const inference = await buildInferenceApp(context, log)
  const management = await buildManagementApp(context, log)
  listeners.push(inference.openRequests, management.openRequests)
  return {
    inferenceUrl: await listen(inference, place),
    managementUrl: await listen(management, {
      host: managementHost,
      port: managementPort,
      hostFlag: '--management-host',
      portFlag: '--management-port',
      isSecure,
    }),
    ...(await listenForGrpc(context, log, listeners, reusePort)),
    inferenceServer: inference.server,
  }
}

/** Its code is loaded only if there is such a listener. */
async function listenForGrpc(
  context: RouteContext,
  log: Logger,
  listeners: OpenListener[],
  reusePort?: 'first',
): Promise<Pick<Listeners, 'grpcAddress' | 'grpcServer'>> {
  if (context.config.grpcPort < 0) return { grpcAddress: undefined, grpcServer: undefined }
  const { startGrpc } = await import('./routes/grpc/listener.ts')
  const listener = await startGrpc(context, log, { reusePort })
  listeners.push(listener)
  return { grpcAddress: listener.address, grpcServer: listener.server }
}
