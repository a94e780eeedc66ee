/** Where the worker listens (MMS worker process, section 1.3). */
import { lstatSync, unlinkSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import type { TemporaryFiles } from '../output/temporary-files.ts'

export type ListenAddress =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }

const BACKLOG = 128
/** Leaves a new socket file with mode 0600. */
const PRIVATE_UMASK = 0o177

/**
 * Listens, and returns what the start-up line says about it: the socket file, `None` for tcp, or the
 * port where the caller asked for any free one. A stale socket file is replaced.
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
    // A unix socket is bound inside the call, so the mask is back before anything else makes a file.
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

/** The worker's own end of a connection, as the original prints it. */
export function addressText(socket: Socket, address: ListenAddress): string {
  return address.type === 'unix' ? address.path : `${socket.localAddress}:${socket.localPort}`
}

/** Only a socket is removed: a mistyped name must not cost anybody a file. */
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
