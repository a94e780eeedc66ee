import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import process from 'node:process'
import { largeBuffers } from '../../buffer-pool.ts'
import { ProtocolError } from '../../errors.ts'
import { ReplyDecoder } from '../wire/decode.ts'
import type { WireLimits, WorkerReply } from '../wire/messages.ts'

/** Where a worker listens: the path of a unix socket, or a host and a TCP port. */
export type WorkerAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number }

/** Bytes. About as much as a unix socket holds. */
const READ_BYTES = 256 * 1024

/** Callbacks of a caller that waits for a reply. `resolve` or `reject` is called, once. */
export interface Waiter {
  /** Takes a reply and returns whether more replies to the same request follow. */
  readonly takePart?: ((reply: WorkerReply) => boolean) | undefined
  readonly resolve: (reply: WorkerReply) => void
  readonly reject: (error: Error) => void
}

/**
 * The socket to one worker. Replies come in the order of the requests, so the waiting callers are
 * kept in a ring of fixed size. A growing Map of ids cost a fifth of the throughput, because the
 * garbage collector kept copying it.
 */
export class Connection {
  /**
   * Resolves when the socket is closed: with the error, or `undefined` without one. Never rejects.
   */
  readonly closed: Promise<Error | undefined>
  readonly #socket: Socket
  readonly #decoder: ReplyDecoder
  readonly #waiting: (Waiter | undefined)[]
  #head = 0
  #inFlight = 0
  #isGathering = false
  #failure: Error | undefined

  private constructor(address: WorkerAddress, limits: WireLimits, capacity: number) {
    this.#decoder = new ReplyDecoder({
      limits,
      isReused: true,
      allocate: (bytes) => largeBuffers.take(bytes),
    })
    this.#waiting = Array.from({ length: capacity }, () => undefined)
    // All reads use this one buffer. Without it, Node allocates 64 KiB for each read.
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
   * @param capacity Maximum number of requests in flight.
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

  /** Sends one encoded request; `waiter` receives its reply or an error. */
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
    this.#gather()
    for (const buffer of buffers) this.#socket.write(buffer)
  }

  /**
   * Collects what is written until the current event is handled. An event is often several replies
   * in one read, and each of them makes room for a request.
   */
  #gather(): void {
    if (this.#isGathering) return
    this.#isGathering = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#isGathering = false
      this.#socket.uncork()
    })
  }

  /** Sends an encoded message that has no reply. */
  post(buffers: readonly Buffer[]): void {
    if (this.#failure !== undefined || this.#socket.destroyed) return
    for (const buffer of buffers) this.#socket.write(buffer)
  }

  /** Stops reading, so that the worker must wait with what it sends. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Closes the socket and rejects all callers that still wait. */
  destroy(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    try {
      for (const reply of this.#decoder.push(chunk)) this.#settle(reply)
      // An incomplete reply without a request is an error too: otherwise its first bytes would be
      // read as the reply to the next request.
      if (this.#inFlight === 0 && !this.#decoder.isIdle) throw unasked()
    } catch (error) {
      this.#failure = error instanceof Error ? error : new ProtocolError(String(error))
      this.#socket.destroy()
    }
  }

  #settle(reply: WorkerReply): void {
    if (this.#waiting[this.#head]?.takePart?.(reply) === true) return
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
  return new ProtocolError('the worker sent a reply without a request')
}
