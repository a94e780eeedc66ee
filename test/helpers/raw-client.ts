/**
 * A connection on which a test writes what it likes, as clients do that write first and read then.
 */
import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import type { Cleanup } from './server.ts'

/** What came over a connection, and how it ended. */
export class RawClient {
  readonly socket: Socket
  text = ''
  /** The error that ended the connection, for example `ECONNRESET`; absent when it ended well. */
  error: string | undefined
  /** Resolves when the server has closed its side, or when the connection has broken. */
  readonly ended: Promise<void>
  /** Resolves when nothing is left of the connection. */
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code))
    this.ended = new Promise((resolve) => {
      socket.once('end', resolve)
      socket.once('close', () => resolve())
    })
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  /**
   * Connects to the server of a URL. The client's side stays open until it is closed by the test.
   */
  static async connect(t: Cleanup, url: string): Promise<RawClient> {
    const { hostname, port } = new URL(url)
    const socket = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true })
    t.after(() => socket.destroy())
    const client = new RawClient(socket)
    await once(socket, 'connect')
    return client
  }

  /** Begins to read. Until then what the server sends waits in the system's buffers. */
  read(): void {
    this.socket.setEncoding('latin1').on('data', (text: string) => (this.text += text))
  }

  /** Writes, and waits while the server takes nothing. Gives up when the connection has broken. */
  async write(data: string | Buffer): Promise<void> {
    const { socket } = this
    if (socket.destroyed || socket.write(data)) return
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), this.closed])
  }

  /** Waits until as many responses have begun. */
  async answered(count = 1): Promise<void> {
    while (this.statuses.length < count && !this.socket.destroyed)
      await Promise.race([new Promise((resolve) => this.socket.once('data', resolve)), this.closed])
  }

  /** Statuses of the responses so far. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  }
}
