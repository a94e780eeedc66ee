/**
 * stdout and stderr of the worker. Node's own streams queue the data that a full pipe does not
 * take, and lose it when the process ends. These streams write synchronously, so the last lines
 * before a crash arrive. They can also redirect the descriptor itself to another file, for native
 * code and child processes.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'

const { O_APPEND, O_NONBLOCK, O_RDWR, O_WRONLY } = constants
/**
 * Longest time that one full pipe may block the worker. Data that it has not taken by then is
 * dropped.
 */
const STALL_LIMIT_MS = 2000
const RETRY_MS = 1
const NEWLINE = 0x0a
/** Nothing ever notifies this cell, so waiting on it is a sleep. */
const SLEEP_CELL = new Int32Array(new SharedArrayBuffer(4))

/** Both streams of the process. */
export interface ProcessOutput {
  readonly stdout: StandardStream
  readonly stderr: StandardStream
}

/**
 * Replaces `process.stdout` and `process.stderr`, which the console uses. Call it before anything
 * uses them.
 */
export function installOutput(): ProcessOutput {
  const output = { stdout: new StandardStream(1), stderr: new StandardStream(2) }
  for (const [name, value] of Object.entries(output)) {
    Object.defineProperty(process, name, { value, configurable: true, enumerable: true })
  }
  return output
}

/** A stream whose `write` returns only after the data was written or dropped. */
export class StandardStream extends Writable {
  readonly fd: 1 | 2
  /**
   * Descriptors to write to. The last one is in use; the first is the one that the process was
   * started with.
   */
  readonly #targets: number[]
  /** Number of bytes that were dropped and not yet reported to the reader. */
  #droppedBytes = 0
  /**
   * The reader takes no data. The stream waits for it again only after it has taken a whole write.
   */
  #isStuck = false
  #isInsideLine = false

  constructor(fd: 1 | 2) {
    super()
    this.fd = fd
    this.#targets = [withoutBlocking(fd)]
  }

  /**
   * Redirects the stream and its descriptor to the FIFO behind `fifo`, a non-blocking descriptor.
   */
  turnTo(fifo: number): void {
    if (this.#targets[0] === this.fd) this.#targets[0] = copyOf(this.fd)
    this.#targets.push(fifo)
    this.#redirect(fifo)
  }

  /** Closes `fifo`. If it was in use, the stream returns to the descriptor that was used before. */
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

  /**
   * Whether the reader was told about all dropped bytes. It tries only once, so a pipe that is
   * still full costs no more time.
   */
  #reportDropped(): boolean {
    if (this.#droppedBytes === 0) return true
    const notice = `${this.#isInsideLine ? '\n' : ''}dropped ${this.#droppedBytes} bytes of output\n`
    if (writeAll(this.#target, Buffer.from(notice), 0) === 0) return false
    this.#droppedBytes = 0
    this.#isInsideLine = false
    return true
  }

  /**
   * Node has no dup2. Opening a file uses the lowest free descriptor, which is the one that was
   * just closed. The new open file description is blocking, as programs expect from an inherited
   * stdout; only this stream writes through its own non-blocking one.
   */
  #redirect(target: number): void {
    const guard = holdOpen(target)
    closeSync(this.fd)
    const opened = openOr(`/dev/fd/${target}`, O_WRONLY | O_APPEND, '/dev/null')
    if (guard !== undefined) closeSync(guard)
    // Someone has closed stdin, or another thread took the descriptor: it is now unknown which
    // output goes where.
    if (opened !== this.fd) throw new Error(`file descriptor ${this.fd} is used by another file`)
  }
}

/**
 * Writes `bytes` and returns how many the pipe took. It gives up when the pipe stays full for
 * `patienceMs`.
 */
function writeAll(fd: number, bytes: Buffer, patienceMs: number): number {
  let written = 0
  let waitedMs = 0
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written)
      waitedMs = 0
    } catch (error) {
      // The pipe has no reader any more: nothing is lost that somebody could read.
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

/** Returns a non-blocking descriptor of the same file where that is possible, otherwise `fd`. */
function withoutBlocking(fd: 1 | 2): number {
  const kind = fstatSync(fd)
  if (kind.isFIFO()) return openOr(`/dev/fd/${fd}`, O_WRONLY | O_NONBLOCK) ?? fd
  // A socket cannot be opened again, but creating Node's own stream makes it non-blocking.
  if (kind.isSocket()) void (fd === 1 ? process.stdout : process.stderr)
  return fd
}

/**
 * Copies the descriptor, to return to it later. A socket cannot be copied: its output goes to
 * /dev/null.
 */
function copyOf(fd: number): number {
  return openOr(`/dev/fd/${fd}`, O_WRONLY | O_APPEND, '/dev/null')
}

/**
 * Opens a FIFO as its own reader for a moment, because a blocking open without a reader would wait.
 */
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
