/** A raw connection: the test decides what is written and when the client reads. */
import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import type { Cleanup } from './server.ts'

/** The data that a connection received, and how it ended. */
export class RawClient {
  readonly socket: Socket
  text = ''
  /**
   * The error that ended the connection, for example `ECONNRESET`; absent if it ended without an
   * error.
   */
  error: string | undefined
  /** Resolves when the server has closed its side, or the connection has failed. */
  readonly ended: Promise<void>
  /** Resolves when the socket is closed. */
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

  /** Connects to the server of a URL. The client's side stays open until the test closes it. */
  static async connect(t: Cleanup, url: string): Promise<RawClient> {
    const { hostname, port } = new URL(url)
    const socket = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true })
    t.after(() => socket.destroy())
    const client = new RawClient(socket)
    await once(socket, 'connect')
    return client
  }

  /** Starts to read. Before that, received data stays in the system's buffers. */
  read(): void {
    this.socket.setEncoding('latin1').on('data', (text: string) => (this.text += text))
  }

  /** Writes data and waits while the buffers are full. Returns if the connection has failed. */
  async write(data: string | Buffer): Promise<void> {
    const { socket } = this
    if (socket.destroyed || socket.write(data)) return
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), this.closed])
  }

  /** Waits until `count` responses have started. */
  async answered(count = 1): Promise<void> {
    while (this.statuses.length < count && !this.socket.destroyed)
      await Promise.race([new Promise((resolve) => this.socket.once('data', resolve)), this.closed])
  }

  /** Statuses of the responses so far. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  }
}
