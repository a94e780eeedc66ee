/**
 * stdout and stderr of the worker. Node's own streams queue what a full pipe does not take and lose
 * it when the process ends; these write at once, so the last lines before a crash arrive. And they
 * can be turned to another file together with the descriptor itself, for native code and children.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'

const { O_APPEND, O_NONBLOCK, O_RDWR, O_WRONLY } = constants
/** Longest time one full pipe may hold up the worker; what it does not take by then is dropped. */
const STALL_LIMIT_MS = 2000
const RETRY_MS = 1
const NEWLINE = 0x0a
/** Never notified: waiting on it is a sleep. */
const SLEEP_CELL = new Int32Array(new SharedArrayBuffer(4))

/** Both streams of the process. */
export interface ProcessOutput {
  readonly stdout: StandardStream
  readonly stderr: StandardStream
}

/** Replaces `process.stdout` and `process.stderr`, and so the console. To be called before either is used. */
export function installOutput(): ProcessOutput {
  const output = { stdout: new StandardStream(1), stderr: new StandardStream(2) }
  for (const [name, value] of Object.entries(output)) {
    Object.defineProperty(process, name, { value, configurable: true, enumerable: true })
  }
  return output
}

/** A stream that has written, or given up, when `write` returns. */
export class StandardStream extends Writable {
  readonly fd: 1 | 2
  /** Descriptors to write to; the last one is in use, the first is what the process was started with. */
  readonly #targets: number[]
  /** Bytes that a full pipe did not take, not yet told to its reader. */
  #droppedBytes = 0
  /** The reader takes nothing: it has to take a whole write before it is waited for again. */
  #isStuck = false
  #isInsideLine = false

  constructor(fd: 1 | 2) {
    super()
    this.fd = fd
    this.#targets = [withoutBlocking(fd)]
  }

  /** Turns the stream and its descriptor to the FIFO behind `fifo`, a non-blocking descriptor. */
  turnTo(fifo: number): void {
    if (this.#targets[0] === this.fd) this.#targets[0] = copyOf(this.fd)
    this.#targets.push(fifo)
    this.#redirect(fifo)
  }

  /** Closes `fifo`; if it was in use, the stream goes back to what was in use before. */
  turnFrom(fifo: number): void {
    const wasInUse = this.#targets.at(-1) === fifo
    this.#targets.splice(this.#targets.lastIndexOf(fifo), 1)
    if (wasInUse) this.#redirect(this.#target)
    closeSync(fifo)
  }

  override _write(bytes: Buffer, _encoding: string, callback: () => void): void {
    const patienceMs = this.#isStuck ? 0 : STALL_LIMIT_MS
    const taken = this.#reportDropped() ? writeAll(this.#target, bytes, patienceMs) : 0
    this.#isStuck = taken < bytes.length
    this.#droppedBytes += bytes.length - taken
    if (taken > 0) this.#isInsideLine = bytes[taken - 1] !== NEWLINE
    callback()
  }

  get #target(): number {
    return this.#targets.at(-1) ?? this.fd
  }

  /** Whether the reader knows all that was dropped; one try, so a stuck pipe costs no more time. */
  #reportDropped(): boolean {
    if (this.#droppedBytes === 0) return true
    const notice = `${this.#isInsideLine ? '\n' : ''}dropped ${this.#droppedBytes} bytes of output\n`
    if (writeAll(this.#target, Buffer.from(notice), 0) === 0) return false
    this.#droppedBytes = 0
    this.#isInsideLine = false
    return true
  }

  /**
   * Node has no dup2. Closing the descriptor and opening a file gives the lowest free number, which is
   * the one just closed. The new description blocks, as programs expect of the stdout they inherit;
   * only this stream writes through a non-blocking one of its own.
   */
  #redirect(target: number): void {
    const guard = holdOpen(target)
    closeSync(this.fd)
    const opened = openOr(`/dev/fd/${target}`, O_WRONLY | O_APPEND, '/dev/null')
    if (guard !== undefined) closeSync(guard)
    // Somebody closed stdin, or another thread took the number: nobody can tell now what writes where.
    if (opened !== this.fd) throw new Error(`descriptor ${this.fd} was taken by another file`)
  }
}

/** Writes `bytes` and returns how many a pipe took that was full for `patienceMs` at a time. */
function writeAll(fd: number, bytes: Buffer, patienceMs: number): number {
  let written = 0
  let waitedMs = 0
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written)
      waitedMs = 0
    } catch (error) {
      // Nobody reads any more: there is nobody to miss it, and nobody to tell.
      if (!isFull(error)) return bytes.length
      if (waitedMs >= patienceMs) break
      Atomics.wait(SLEEP_CELL, 0, 0, RETRY_MS)
      waitedMs += RETRY_MS
    }
  }
  return written
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}

/** A descriptor that leads where `fd` does and does not block, where that can be had; else `fd`. */
function withoutBlocking(fd: 1 | 2): number {
  const kind = fstatSync(fd)
  if (kind.isFIFO()) return openOr(`/dev/fd/${fd}`, O_WRONLY | O_NONBLOCK) ?? fd
  // A socket cannot be opened again; Node's own stream, once made, leaves it non-blocking.
  if (kind.isSocket()) void (fd === 1 ? process.stdout : process.stderr)
  return fd
}

/** A descriptor to come back to. A socket has none: its output ends here. */
function copyOf(fd: number): number {
  return openOr(`/dev/fd/${fd}`, O_WRONLY | O_APPEND, '/dev/null')
}

/** A reader of the FIFO for a moment: without any reader a blocking open of it would wait for one. */
function holdOpen(fd: number): number | undefined {
  return fstatSync(fd).isFIFO() ? openOr(`/dev/fd/${fd}`, O_RDWR | O_NONBLOCK) : undefined
}

function openOr(path: string, flags: number, instead: string): number
function openOr(path: string, flags: number): number | undefined
function openOr(path: string, flags: number, instead?: string): number | undefined {
  try {
    return openSync(path, flags)
  } catch {
    return instead === undefined ? undefined : openSync(instead, O_WRONLY)
  }
}
