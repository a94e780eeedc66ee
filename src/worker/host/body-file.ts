import { randomUUID } from 'node:crypto'
import { closeSync, constants, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { BODY_HEADER } from '../../contract/internal-headers.ts'
import type { WireRequest } from '../wire/messages.ts'

/** Memory that looks like a file system, on Linux. */
const FOLDER = '/dev/shm'
/** A smaller body fits into the socket's buffer as a whole, and is there as soon. */
const LEAST_BYTES = 64 * 1024
/** A larger batch would hold up the front-end while it is copied. */
const MOST_BYTES = 32 * 1024 * 1024
const FILE_BYTES = 2 * MOST_BYTES
/** An idle file that has been larger than this gives its memory back. */
const KEPT_BYTES = 16 * 1024 * 1024
/** Tensors begin where processors like them to. */
const ALIGNMENT = 64
const EMPTY = Buffer.alloc(0)

/** The place of one batch. */
interface Span {
  readonly start: number
  readonly end: number
}

/**
 * Large bodies on their way to one worker, beside its socket: a socket holds 200 KB, so the rest of the next body
 * would cross only after a run has ended. The file has no name; the worker inherits a descriptor that reads, and
 * the request says in a header where its body lies. Batches are answered in order, so their places form a ring.
 */
export class BodyFile {
  #readDescriptor: number | undefined
  #writeDescriptor: number | undefined
  /** Places of the batches at the worker, the oldest first; `undefined` for one that has no body here. */
  readonly #spans: (Span | undefined)[] = []
  #highest = 0
  #isFull = false

  private constructor(readDescriptor: number, writeDescriptor: number) {
    this.#readDescriptor = readDescriptor
    this.#writeDescriptor = writeDescriptor
  }

  /** `undefined` where there is no such file system; everything goes by the socket then. */
  static create(): BodyFile | undefined {
    const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = constants
    const name = `${FOLDER}/onnxd-${randomUUID()}`
    try {
      const writing = openSync(name, O_WRONLY | O_CREAT | O_EXCL, 0o600)
      try {
        return new BodyFile(openSync(name, O_RDONLY), writing)
      } catch (error) {
        closeSync(writing)
        throw error
      } finally {
        rmSync(name)
      }
    } catch {
      return undefined
    }
  }

  /** For the worker to inherit. */
  get readDescriptor(): number | undefined {
    return this.#readDescriptor
  }

  /** The worker has its descriptor now. */
  handOver(): void {
    if (this.#readDescriptor !== undefined) closeSync(this.#readDescriptor)
    this.#readDescriptor = undefined
  }

  /**
   * Puts the large bodies of a batch into the file, if they fit, and returns the requests as they go by the socket.
   * Each call is followed by one of {@link release}, in order.
   */
  move(requests: readonly WireRequest[]): readonly WireRequest[] {
    const size = requests.reduce((sum, request) => sum + roomFor(request), 0)
    const start = size === 0 || size > MOST_BYTES ? undefined : this.#findRoom(size)
    const moved = start === undefined ? undefined : this.#write(requests, start)
    this.#spans.push(start === undefined || !moved ? undefined : { start, end: start + size })
    return moved ?? requests
  }

  /** The oldest batch was answered. */
  release(): void {
    this.#spans.shift()
    if (this.#spans.length > 0 || (this.#highest <= KEPT_BYTES && !this.#isFull)) return
    if (this.#writeDescriptor !== undefined) ftruncateSync(this.#writeDescriptor, 0)
    this.#highest = 0
  }

  /** The worker is gone. Safe to call again. */
  close(): void {
    this.handOver()
    if (this.#writeDescriptor !== undefined) closeSync(this.#writeDescriptor)
    this.#writeDescriptor = undefined
  }

  /** The lowest place that is free: what was used before is still there in memory. */
  #findRoom(size: number): number | undefined {
    const oldest = this.#spans.find((span) => span !== undefined)
    const newest = this.#spans.findLast((span) => span !== undefined)
    if (oldest === undefined || newest === undefined) return 0
    const isWrapped = newest.end < oldest.end
    if (!isWrapped && size <= oldest.start) return 0
    const limit = isWrapped ? oldest.start : FILE_BYTES
    return newest.end + size <= limit ? newest.end : undefined
  }

  #write(requests: readonly WireRequest[], start: number): readonly WireRequest[] | undefined {
    const descriptor = this.#writeDescriptor
    if (descriptor === undefined || this.#isFull) return undefined
    let at = start
    const moved: WireRequest[] = []
    for (const request of requests) {
      const [body] = request.parameters
      const room = roomFor(request)
      if (body === undefined || room === 0) {
        moved.push(request)
        continue
      }
      if (!writeAll(descriptor, body.value, at)) {
        // The file system is full, or has no more memory for us: from here on everything goes by the socket.
        this.#isFull = true
        return undefined
      }
      const headers = [...request.headers, [BODY_HEADER, `${at}+${body.value.length}`] as const]
      moved.push({ id: request.id, headers, parameters: [{ ...body, value: EMPTY }] })
      at += room
    }
    this.#highest = Math.max(this.#highest, at)
    return moved
  }
}

/** Bytes of the file that a request takes; 0 when it goes by the socket. */
function roomFor({ parameters }: WireRequest): number {
  const [body, ...others] = parameters
  if (body === undefined || others.length > 0 || body.value.length < LEAST_BYTES) return 0
  return Math.ceil(body.value.length / ALIGNMENT) * ALIGNMENT
}

function writeAll(descriptor: number, value: Buffer, at: number): boolean {
  try {
    let written = 0
    while (written < value.length) {
      const size = writeSync(descriptor, value, written, value.length - written, at + written)
      if (size === 0) return false
      written += size
    }
    return true
  } catch {
    return false
  }
}
