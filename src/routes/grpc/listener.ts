/** The gRPC listener. Its calls take the way of HTTP requests: queue, worker, logs, metrics. */
import { lookup } from 'node:dns/promises'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, ListenOptions, Server } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import { ServerError } from '../../errors.ts'
import { connectionLimits } from '../http/connections/connection-limits.ts'
import { MAX_HEADER_BYTES } from '../http/connections/http-server.ts'
import { listenError, sharedPort } from '../http/connections/listen.ts'
import type { ListenerPlace } from '../http/connections/listen.ts'
import type { RouteContext } from '../route-context.ts'
import { callerOfCall, createGrpcServer } from './access.ts'
import type { GrpcServer } from './access.ts'
import { grpcMethods } from './services/methods.ts'
import type { GrpcMethod } from './services/methods.ts'
import type { StreamedRequest } from './transport/call-end.ts'
import { logCall, logFailure, logStreamed } from './transport/call-log.ts'
import { Call } from './transport/call.ts'
import { GrpcConnections } from './transport/connections.ts'
import { timeoutOf } from './transport/metadata.ts'
import { unimplemented } from './transport/status.ts'

const MIB = 1024 * 1024
/** Calls of one connection at the same time; more of them wait in the client. */
const MAX_STREAMS = 1024
/** Bytes of one call, and of one connection, that a client may send before they are read. */
const STREAM_WINDOW = MIB
const CONNECTION_WINDOW = 16 * MIB
/** Frames of the default of 16 KiB cost more time for large tensors. */
const MAX_FRAME_BYTES = 256 * 1024
/** In megabytes. Node counts responses that are not sent; the memory budget limits those. */
const SESSION_MEMORY = 4096
/** The queue gets this time to reject a request whose deadline has passed, and to count it. */
const DEADLINE_GRACE_MS = 5

/** How several HTTP processes of a server listen on one port. */
export interface GrpcSharing {
  readonly reusePort?: ListenerPlace['reusePort']
  /** The port of process 0. */
  readonly port?: number | undefined
  /** The listening socket of process 0, if the kernel cannot divide the connections. */
  readonly handle?: Server | undefined
}

/** A listener for gRPC. */
export interface GrpcListener {
  /** Host and port. */
  readonly address: string
  /** The listening socket. */
  readonly server: Server
  /** Whether a client is connected, or was within the last `ms` milliseconds. */
  hasClientsWithin(ms: number): boolean
  /** Has no effect: a connection ends with {@link close}. */
  startDraining(): void
  /** Accepts no new connections. */
  stopListening(): void
  /** Stops listening; calls may finish within `drainMs`. */
  close(drainMs: number, log: FastifyBaseLogger): Promise<void>
}

/**
 * Starts to listen. Port 0 takes a free one.
 * @throws Error that says what is wrong with the host or port, and which flag changes it.
 */
export async function startGrpc(
  context: RouteContext,
  log: FastifyBaseLogger,
  { reusePort, port: portOfFirst, handle }: GrpcSharing = {},
): Promise<GrpcListener> {
  const { config } = context
  const connections = new GrpcConnections(connectionLimits(config, 'inference'), log)
  const methods = await grpcMethods(context)
  const calls = new Calls(context, methods, connections, log)
  const options = {
    maxSessionMemory: SESSION_MEMORY,
    settings: {
      initialWindowSize: STREAM_WINDOW,
      maxConcurrentStreams: MAX_STREAMS,
      maxFrameSize: MAX_FRAME_BYTES,
      maxHeaderListSize: MAX_HEADER_BYTES,
    },
  }
  const { tls } = context.access
  const create = (): GrpcServer => {
    const server = createGrpcServer(options, tls)
    server.on('session', (session: ServerHttp2Session) =>
      session.setLocalWindowSize(CONNECTION_WINDOW),
    )
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
      calls.accept(stream, headers),
    )
    connections.watch(server)
    return server
  }
  const host = config.grpcHost || config.host
  const place = {
    host,
    port: portOfFirst ?? config.grpcPort,
    hostFlag: '--grpc-host',
    portFlag: '--grpc-port',
    isSecure: tls !== undefined,
    reusePort,
  }
  const server = create()
  try {
    await listenAt(server, handle ?? { host, port: place.port, ...(await sharedPort(place)) })
  } catch (cause) {
    await connections.close(0)
    throw await listenError(cause, place)
  }
  const { address, port, family } = server.address() as AddressInfo
  if (host === 'localhost') await listenOnOthers(host, { address, port }, create)
  const listening = `${family === 'IPv6' ? `[${address}]` : address}:${port}`
  log.info(`gRPC server listening at ${listening}`)
  return {
    address: listening,
    server,
    hasClientsWithin: (ms) => connections.hasClientsWithin(ms),
    startDraining: () => {},
    stopListening: () => connections.stopListening(),
    close: async (drainMs, logger) => {
      const open = await connections.close(drainMs)
      if (open > 0) logger.warn({ open }, 'open gRPC calls were aborted')
    },
  }
}

/** Starts the calls of the listener and records their ends. */
class Calls {
  readonly #context: RouteContext
  readonly #methods: ReadonlyMap<string, GrpcMethod>
  readonly #connections: GrpcConnections
  readonly #log: FastifyBaseLogger
  #succeeded = 0

  constructor(
    context: RouteContext,
    methods: ReadonlyMap<string, GrpcMethod>,
    connections: GrpcConnections,
    log: FastifyBaseLogger,
  ) {
    this.#context = context
    this.#methods = methods
    this.#connections = connections
    this.#log = log
  }

  accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // A client may reset a call in the packet that begins it.
    if (stream.destroyed || stream.closed || isForeign(stream, headers)) return
    const { budget, config, tracing } = this.#context
    const call = new Call(stream, headers, { budget, maxMessageBytes: config.maxBodyBytes })
    const method = this.#methods.get(call.path)
    call.route = method === undefined ? undefined : call.path
    if (method?.isTraced === true) call.trace = tracing?.begin(call)
    this.#connections.begin(call)
    call.onRecord = (request) => this.#record(call, request)
    stream.once('close', () => this.#finish(call))
    try {
      this.#check(call)
      if (method === undefined) throw unknownMethod(call.path)
      method.start(call)
    } catch (error) {
      call.fail(error)
    }
  }

  /** @throws ServerError if the call is rejected before its messages are read. */
  #check(call: Call): void {
    if (this.#connections.isStopping) {
      throw new ServerError('ServiceUnavailableException', 'The server is stopping.', {
        retryAfterSeconds: 1,
      })
    }
    call.caller = callerOfCall(this.#context.access, call)
    const timeoutMs = timeoutOf(call.headers)
    if (timeoutMs === undefined) return
    call.deadline = call.receivedAt + timeoutMs
    const timer = setTimeout(() => call.fail(call.late()), timeoutMs + DEADLINE_GRACE_MS)
    call.stream.once('close', () => clearTimeout(timer))
  }

  #finish(call: Call): void {
    const { status = 499 } = call.end ?? {}
    logFailure(this.#log, call)
    if (this.#isLogged(status)) logCall(this.#log, call)
    call.trace?.end(call, status)
  }

  #record(call: Call, request: StreamedRequest): void {
    if (this.#isLogged(request.end.status)) logStreamed(this.#log, call, request)
  }

  /** Counts a result. The first of every `accessLogSample` successes and each failure is logged. */
  #isLogged(status: number): boolean {
    const { metrics, config } = this.#context
    metrics.responses.grpc.count(status)
    const isChosen = status >= 400 || this.#succeeded++ % config.accessLogSample === 0
    return config.accessLog && isChosen
  }
}

/** Rejects what is not a call of gRPC, as gRPC over HTTP/2 demands. */
function isForeign(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
  const isPost = headers[':method'] === 'POST'
  const isGrpc = /^application\/grpc(?:\+proto)?(?:;|$)/.test(headers['content-type'] ?? '')
  if (isPost && isGrpc) return false
  stream.on('error', () => {})
  stream.resume()
  stream.respond({ ':status': isPost ? 415 : 405 }, { endStream: true })
  return true
}

function unknownMethod(path: string): ServerError {
  const [, service = '', name = ''] = path.split('/', 3)
  const shown = JSON.stringify(`${service}/${name}`.slice(0, 200))
  return /SharedMemory|TraceSetting|LogSettings/.test(name)
    ? unimplemented(
        `${shown} is not supported: onnxd has no shared memory, and its logs and traces are set when it starts.`,
      )
    : unimplemented(`The method ${shown} does not exist. See docs/grpc.md.`)
}

/** Listens on the other IP addresses of a host name, as the HTTP listeners do. */
async function listenOnOthers(
  name: string,
  { address, port }: Pick<AddressInfo, 'address' | 'port'>,
  create: () => GrpcServer,
): Promise<void> {
  for (const other of await lookup(name, { all: true })) {
    // An address on which it cannot listen is ignored.
    if (other.address !== address)
      await listenAt(create(), { host: other.address, port }).catch(() => {})
  }
}

function listenAt(server: GrpcServer, place: ListenOptions | Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(place, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
