/** Opens the socket on which the worker listens. See `docs/worker-protocol.md`. */
import { lstatSync, unlinkSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import type { TemporaryFiles } from '../output/temporary-files.ts'

export type ListenAddress =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }

const BACKLOG = 128
/** With this mask a new socket file gets mode 0600. */
const PRIVATE_UMASK = 0o177

/**
 * Listens, and returns what the start-up line prints about it: the path of the socket file, `None`
 * for TCP, or the port when port 0 was asked for. A stale socket file is replaced.
 * @throws Error when the path exists and is not a socket, or when the system cannot listen.
 */
export async function listen(
  server: Server,
  address: ListenAddress,
  files: TemporaryFiles,
): Promise<string> {
  const isListening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', reject)
  })
  if (address.type === 'unix') {
    removeStaleSocket(address.path)
    // `listen` binds a unix socket synchronously, so the mask is restored before any other file is
    // created.
    const umask = process.umask(PRIVATE_UMASK)
    server.listen({ path: address.path, backlog: BACKLOG })
    process.umask(umask)
    await isListening
    files.add(address.path)
    return address.path
  }
  server.listen({ host: address.host, port: address.port, backlog: BACKLOG })
  await isListening
  return address.port === 0 ? String(boundPort(server)) : 'None'
}

/** The worker's own end of a connection, in the format that an MMS worker prints. */
export function addressText(socket: Socket, address: ListenAddress): string {
  return address.type === 'unix' ? address.path : `${socket.localAddress}:${socket.localPort}`
}

/** Removes only sockets, so that a mistyped path cannot delete a user's file. */
function removeStaleSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket`)
  unlinkSync(path)
}

function boundPort(server: Server): number {
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? bound.port : 0
}
