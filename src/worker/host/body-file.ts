import { randomUUID } from 'node:crypto'
import { closeSync, constants, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { BODY_HEADER } from '../../contract/internal-headers.ts'
import type { WireRequest } from '../wire/messages.ts'

/** On Linux this file system lies in memory. */
const FOLDER = '/dev/shm'
/**
 * Bytes. A smaller body fits into the socket's buffer as a whole, so the file would not make it
 * faster.
 */
const LEAST_BYTES = 64 * 1024
/**
 * Bytes. The front-end copies a batch synchronously; a larger batch would block its event loop for
 * too long.
 */
const MOST_BYTES = 32 * 1024 * 1024
const FILE_BYTES = 2 * MOST_BYTES
/** Bytes. An idle file that has been larger than this is truncated, to return its memory. */
const KEPT_BYTES = 16 * 1024 * 1024
/**
 * Bytes. Each body starts at a multiple of this, because processors read aligned tensors faster.
 */
const ALIGNMENT = 64
const EMPTY = Buffer.alloc(0)

/** Byte range of one batch in the file. */
interface Span {
  readonly start: number
  readonly end: number
}

/**
 * A file that carries large request bodies to one worker, beside its socket. A socket holds about
 * 200 KB, so without the file the rest of the next body could cross only after the current run. The
 * file has no name: the worker inherits a read-only descriptor, and a header of the request says
 * where its body lies. The worker answers batches in order, so the file is used as a ring.
 */
export class BodyFile {
  #readDescriptor: number | undefined
  #writeDescriptor: number | undefined
  /**
   * Ranges of the batches at the worker, the oldest first; `undefined` for a batch without a body
   * in the file.
   */
  readonly #spans: (Span | undefined)[] = []
  #highest = 0
  #isFull = false

  private constructor(readDescriptor: number, writeDescriptor: number) {
    this.#readDescriptor = readDescriptor
    this.#writeDescriptor = writeDescriptor
  }

  /**
   * Creates the file. Returns `undefined` where `/dev/shm` does not exist; all bodies then use the
   * socket.
   */
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

  /** Descriptor that the worker process inherits; `undefined` after {@link handOver}. */
  get readDescriptor(): number | undefined {
    return this.#readDescriptor
  }

  /**
   * Closes this process's copy of the read descriptor. Call it when the worker has inherited it.
   */
  handOver(): void {
    if (this.#readDescriptor !== undefined) closeSync(this.#readDescriptor)
    this.#readDescriptor = undefined
  }

  /**
   * Writes the large bodies of a batch into the file, if they fit, and returns the requests to send
   * over the socket. Each call needs one later call of {@link release}, in the same order.
   */
  move(requests: readonly WireRequest[]): readonly WireRequest[] {
    const size = requests.reduce((sum, request) => sum + roomFor(request), 0)
    const start = size === 0 || size > MOST_BYTES ? undefined : this.#findRoom(size)
    const moved = start === undefined ? undefined : this.#write(requests, start)
    this.#spans.push(start === undefined || !moved ? undefined : { start, end: start + size })
    return moved ?? requests
  }

  /** Frees the range of the oldest batch. Call it when that batch was answered. */
  release(): void {
    this.#spans.shift()
    if (this.#spans.length > 0 || (this.#highest <= KEPT_BYTES && !this.#isFull)) return
    if (this.#writeDescriptor !== undefined) ftruncateSync(this.#writeDescriptor, 0)
    this.#highest = 0
  }

  /** Closes the file. Call it when the worker is gone. Safe to call again. */
  close(): void {
    this.handOver()
    if (this.#writeDescriptor !== undefined) closeSync(this.#writeDescriptor)
    this.#writeDescriptor = undefined
  }

  /**
   * Returns the lowest free position: the memory of positions that were used before is already
   * allocated.
   */
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
        // The file system is full or has no memory left: from now on all bodies use the socket.
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

/** Bytes of the file that a request needs; 0 when its body goes through the socket. */
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
