/**
 * Who uses a folder? A unix socket in it that a process listens on. The kernel ends the claim with
 * its process, also of another container: a process id means nothing outside its PID namespace.
 */
import { once } from 'node:events'
import { open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import path from 'node:path'
import { codeOf } from './process-identity.ts'

/** Longer paths of sockets are cut silently (Node 20) or refused. */
const MAX_SOCKET_PATH = 100
/** What `connect` says of a socket without a listener, of any other file, and where there is none. */
const FREE: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOTSOCK', 'ENOENT'])

/** A claim on a folder, held until it is released or this process ends. */
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
   * @throws Error of the system: EADDRINUSE where the name is taken; EPERM, EOPNOTSUPP and others on
   * file systems without sockets.
   */
  static async make(folder: string, name: string): Promise<FolderClaim> {
    const handle = await handleIfLong(folder, name)
    try {
      const socket = path.join(shortPath(folder, handle), name)
      // Nobody says anything on it; a connection alone is the answer.
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

  /** Gives the folder up; the socket is removed. */
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

/** Whether a process listens on the socket `name` in `folder`. Whatever cannot be tried counts as held. */
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

/** On Linux an open folder has a short name as well. Elsewhere a long path fails with the system's error. */
function handleIfLong(folder: string, name: string): Promise<FileHandle | undefined> {
  const isLong = Buffer.byteLength(path.join(folder, name)) > MAX_SOCKET_PATH
  return isLong && process.platform === 'linux' ? open(folder, 'r') : Promise.resolve(undefined)
}

function shortPath(folder: string, handle: FileHandle | undefined): string {
  return handle === undefined ? folder : `/proc/self/fd/${handle.fd}`
}
