import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { largeBuffers } from '../../buffer-pool.ts'
import { ProtocolError } from '../../errors.ts'
import { ReplyDecoder } from '../wire/decode.ts'
import type { WireLimits, WorkerReply } from '../wire/messages.ts'

/** Where a worker listens: the path of a unix socket, or a TCP port of this machine. */
export type WorkerAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number }

/** As much as a unix socket holds, about. */
const READ_BYTES = 256 * 1024

/** Who waits for a reply. One of the two is called, once. */
export interface Waiter {
  readonly resolve: (reply: WorkerReply) => void
  readonly reject: (error: Error) => void
}

/**
 * The socket to one worker. Replies come in the order of the requests, so waiting callers stand in a
 * fixed ring (a growing Map of ids cost a fifth of the throughput: the collector keeps copying it).
 */
export class Connection {
  /** Resolves when the socket is closed, with what was wrong, if anything was. Never rejects. */
  readonly closed: Promise<Error | undefined>
  readonly #socket: Socket
  readonly #decoder: ReplyDecoder
  readonly #waiting: (Waiter | undefined)[]
  #head = 0
  #inFlight = 0
  #failure: Error | undefined

  private constructor(address: WorkerAddress, limits: WireLimits, capacity: number) {
    this.#decoder = new ReplyDecoder({
      limits,
      isReused: true,
      allocate: (bytes) => largeBuffers.take(bytes),
    })
    this.#waiting = Array.from({ length: capacity }, () => undefined)
    // One buffer for all that comes. Node would make one of 64 KiB for each read.
    const memory = Buffer.allocUnsafeSlow(READ_BYTES)
    const onread = {
      buffer: memory,
      callback: (size: number): boolean => {
        this.#receive(memory.subarray(0, size))
        return true
      },
    }
    const socket = createConnection({ ...address, onread })
    this.#socket = socket
    socket.on('error', (error) => (this.#failure ??= error))
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#failAll(this.#failure ?? new Error('the worker closed its connection'))
        resolve(this.#failure)
      })
    })
  }

  /**
   * Connects to a listening worker.
   * @param capacity Requests in flight at most.
   */
  static async open(
    address: WorkerAddress,
    limits: WireLimits,
    capacity: number,
  ): Promise<Connection> {
    const connection = new Connection(address, limits, capacity)
    const socket = connection.#socket
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
      socket.once('connect', () => socket.off('error', reject))
    })
    if ('port' in address) socket.setNoDelay(true)
    return connection
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Sends one encoded request; `waiter` gets its reply. */
  send(buffers: readonly Buffer[], waiter: Waiter): void {
    if (this.#failure !== undefined || this.#socket.destroyed) {
      waiter.reject(this.#failure ?? new Error('the connection is closed'))
      return
    }
    if (this.#inFlight === this.#waiting.length) {
      waiter.reject(new ProtocolError('too many requests in flight'))
      return
    }
    this.#waiting[(this.#head + this.#inFlight) % this.#waiting.length] = waiter
    this.#inFlight += 1
    this.#socket.cork()
    for (const buffer of buffers) this.#socket.write(buffer)
    this.#socket.uncork()
  }

  /** Closes the socket; whoever still waits is rejected. */
  destroy(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    try {
      for (const reply of this.#decoder.push(chunk)) this.#settle(reply)
      // The begin of a reply, too: it would be read as the begin of the reply to the next request.
      if (this.#inFlight === 0 && !this.#decoder.isIdle) throw unasked()
    } catch (error) {
      this.#failure = error instanceof Error ? error : new ProtocolError(String(error))
      this.#socket.destroy()
    }
  }

  #settle(reply: WorkerReply): void {
    const waiter = this.#takeFirst()
    if (waiter === undefined) throw unasked()
    waiter.resolve(reply)
  }

  #takeFirst(): Waiter | undefined {
    if (this.#inFlight === 0) return undefined
    const waiter = this.#waiting[this.#head]
    this.#waiting[this.#head] = undefined
    this.#head = (this.#head + 1) % this.#waiting.length
    this.#inFlight -= 1
    return waiter
  }

  #failAll(error: Error): void {
    for (let waiter = this.#takeFirst(); waiter !== undefined; waiter = this.#takeFirst())
      waiter.reject(error)
  }
}

function unasked(): ProtocolError {
  return new ProtocolError('the worker sent a reply that nobody asked for')
}
