import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { codeOf } from '../../../system/process-identity.ts'
import type { App } from '../../route-context.ts'

const MAX_PORT = 65_535

/** Where a listener listens, and the flags that set it. */
export interface ListenerPlace {
  readonly host: string
  readonly port: number
  readonly hostFlag: string
  readonly portFlag: string
  /** Whether the listener uses TLS. */
  readonly isSecure: boolean
  /**
   * Whether other processes of this server listen on the same port, by an option of the kernel. The
   * first one checks that no other server does.
   */
  readonly reusePort?: 'first' | 'further' | undefined
}

/**
 * Starts to listen. Port 0 takes a free one.
 * @returns The URL of the listener.
 * @throws Error that says what is wrong with the host or port, and which flag changes it.
 */
export async function listen(app: App, place: ListenerPlace): Promise<string> {
  const { host, port, isSecure } = place
  const withScheme = (url: string): string => (isSecure ? url.replace(/^http:/, 'https:') : url)
  // Fastify does not know that the server uses TLS.
  const listenTextResolver = (url: string): string => `Server listening at ${withScheme(url)}`
  try {
    const shared = await sharedPort(place)
    await app.listen({ host, port, listenTextResolver, ...shared })
  } catch (cause) {
    throw await listenError(cause, place)
  }
  const address = app.server.address()
  if (!isAddress(address)) throw new Error('The listener has no address.')
  if (host === 'localhost') await app.openRequests.listenOnOthers(host, address)
  return withScheme(
    `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
  )
}

/**
 * Returns the options to share a port with other processes, as the place asks for it.
 * @throws Error of `listen` if another server has the port.
 */
export async function sharedPort({
  host,
  port,
  reusePort,
}: Pick<ListenerPlace, 'host' | 'port' | 'reusePort'>): Promise<{ readonly reusePort?: true }> {
  if (reusePort === 'first' && port !== 0) await checkFree(host, port)
  return reusePort === undefined ? {} : { reusePort: true }
}

/** Returns an error that says why a listener cannot listen, and which flag changes it. */
export async function listenError(cause: unknown, place: ListenerPlace): Promise<Error> {
  const code = codeOf(cause)
  const free = code === 'EADDRINUSE' ? await freePortAfter(place) : undefined
  return new Error(problemText(code, place, cause, free), { cause })
}

function problemText(
  code: string | undefined,
  { host, port, hostFlag, portFlag }: ListenerPlace,
  cause: unknown,
  freePort: number | undefined,
): string {
  const start = `cannot listen on ${host}:${port} (${code ?? String(cause)})`
  switch (code) {
    case 'EADDRINUSE':
      return freePort === undefined
        ? `${start}: the port is in use. Choose another one with ${portFlag}.`
        : `${start}: the port is in use. Try ${portFlag} ${freePort}, or choose another one with ${portFlag}.`
    case 'EACCES':
      return `${start}: this user has no permission to use the port. Choose another one with ${portFlag}.`
    case 'EADDRNOTAVAIL':
      return `${start}: this machine does not have this IP address. Choose another one with ${hostFlag}.`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${start}: the host name is unknown. Choose another one with ${hostFlag}.`
    default:
      return `${start}.`
  }
}

/** Returns a free port that is easy to remember: 8090 for 8080. */
async function freePortAfter({ host, port }: ListenerPlace): Promise<number | undefined> {
  for (const candidate of [10, 20, 30, 40].map((step) => port + step)) {
    if (candidate <= MAX_PORT && (await isFree(host, candidate))) return candidate
  }
  return undefined
}

function isFree(host: string, port: number): Promise<boolean> {
  return checkFree(host, port).then(
    () => true,
    () => false,
  )
}

/** @throws Error of `listen` if a server listens on the port, also one that shares it. */
function checkFree(host: string, port: number): Promise<void> {
  const probe = createServer()
  return new Promise((resolve, reject) => {
    probe.once('error', reject)
    probe.listen({ host, port }, () => probe.close(() => resolve()))
  })
}

function isAddress(address: AddressInfo | string | null | undefined): address is AddressInfo {
  return typeof address === 'object' && address !== null
}
