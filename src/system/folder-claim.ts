/**
 * Claims a folder for one process with a Unix socket that the process listens on. The kernel ends
 * the claim when the process ends. This also works between containers, where a process id has no
 * meaning outside its PID namespace.
 */
import { once } from 'node:events'
import { open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import path from 'node:path'
import { codeOf } from './process-identity.ts'

/** Node 20 silently cuts longer socket paths; other versions reject them. */
const MAX_SOCKET_PATH = 100
/**
 * `connect` fails with these codes if the socket has no listener, is another kind of file, or does
 * not exist.
 */
const FREE: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOTSOCK', 'ENOENT'])

/** A claim on a folder. It ends when it is released or when this process ends. */
export class FolderClaim {
  readonly #server: Server
  readonly #socket: string
  readonly #folder: FileHandle | undefined

  private constructor(server: Server, socket: string, folder: FileHandle | undefined) {
    this.#server = server
    this.#socket = socket
    this.#folder = folder
  }

  /**
   * Binds the socket `name` in `folder`.
   * @throws Error of the system: EADDRINUSE if the name is taken; EPERM, EOPNOTSUPP and others on
   * file systems without sockets.
   */
  static async make(folder: string, name: string): Promise<FolderClaim> {
    const handle = await handleIfLong(folder, name)
    try {
      const socket = path.join(shortPath(folder, handle), name)
      // No data is exchanged. The successful connection alone shows that the folder is claimed.
      const server = createServer((connection) => connection.destroy())
      server.listen(socket)
      await once(server, 'listening')
      server.unref()
      return new FolderClaim(server, socket, handle)
    } catch (error) {
      await handle?.close()
      throw error
    }
  }

  /** Releases the folder and removes the socket. */
  async release(): Promise<void> {
    if (this.#server.listening) {
      const closed = once(this.#server, 'close')
      this.#server.close()
      await closed
    }
    await rm(this.#socket, { force: true })
    await this.#folder?.close()
  }
}

/**
 * Whether a process listens on the socket `name` in `folder`. The folder also counts as claimed if
 * the connection fails for an unknown reason.
 */
export async function isClaimed(folder: string, name: string): Promise<boolean> {
  const handle = await handleIfLong(folder, name)
  try {
    const connection = connect(path.join(shortPath(folder, handle), name))
    try {
      await once(connection, 'connect')
      return true
    } catch (error) {
      return !FREE.has(codeOf(error))
    } finally {
      connection.destroy()
    }
  } finally {
    await handle?.close()
  }
}

/**
 * Opens the folder if the socket path is too long: on Linux `/proc/self/fd` gives an open folder a
 * short path. On other systems a long path fails with the system's error.
 */
function handleIfLong(folder: string, name: string): Promise<FileHandle | undefined> {
  const isLong = Buffer.byteLength(path.join(folder, name)) > MAX_SOCKET_PATH
  return isLong && process.platform === 'linux' ? open(folder, 'r') : Promise.resolve(undefined)
}

function shortPath(folder: string, handle: FileHandle | undefined): string {
  return handle === undefined ? folder : `/proc/self/fd/${handle.fd}`
}
