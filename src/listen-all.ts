/** Starts the listeners of a server. */
import type { Server } from 'node:net'
import type { Logger } from 'pino'
import type { App, RouteContext } from './routes/route-context.ts'

/** A listener, to be stopped. */
export type OpenListener = Pick<App['openRequests'], 'hasClientsWithin' | 'startDraining' | 'close'>

/** Where a server listens. */
export interface Addresses {
  readonly inferenceUrl: string
  readonly managementUrl: string
  /** Host and port of the gRPC listener; `undefined` if there is none. */
  readonly grpcAddress: string | undefined
}

/** The addresses, and the socket of the inference listener. */
interface Listeners extends Addresses {
  readonly inferenceServer: Server
}

/**
 * One listener for clients and one for operators, or one for both if host and port are equal.
 * @param reusePort Set if other processes of this server will listen on the inference port.
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
    const grpcAddress = await listenForGrpc(context, log, listeners)
    const inferenceServer = combined.server
    return { inferenceUrl: url, managementUrl: url, grpcAddress, inferenceServer }
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
    grpcAddress: await listenForGrpc(context, log, listeners),
    inferenceServer: inference.server,
  }
}

/** Its code is loaded only if there is such a listener. */
async function listenForGrpc(
  context: RouteContext,
  log: Logger,
  listeners: OpenListener[],
): Promise<string | undefined> {
  if (context.config.grpcPort < 0) return undefined
  const { startGrpc } = await import('./routes/grpc/listener.ts')
  const listener = await startGrpc(context, log)
  listeners.push(listener)
  return listener.address
}
