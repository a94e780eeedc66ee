/**
 * Standard output and standard error of the server. Neither a request nor the end of the process
 * may wait for the reader: the disk may be full, the pipe may be full, the terminal may be stopped.
 */
import { write, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { openTarget } from './output-target.ts'
import type { OutputTarget } from './output-target.ts'

/** Maximum of characters that wait for a slow reader. Further lines are dropped and counted. */
const MAX_WAITING = 4 * 1024 * 1024
/** Lines are written together: one write per line would cost more than the line itself. */
const BLOCK_CHARACTERS = 16 * 1024
/** Lines that do not fill a block are written after this time. */
const FLUSH_MS = 250
/** Pause before the next write to a full pipe; doubled after each write that fails. */
const MIN_RETRY_MS = 5
const MAX_RETRY_MS = 250
/** Pause after an error, for example of a full disk. */
const ERROR_RETRY_MS = 1000
/** The end of the process waits at most this long for a reader that takes nothing. */
const LAST_FLUSH_MS = 250
/** The end of the process waits at most this long for a reader that takes something. */
const MAX_FLUSH_MS = 1000
const NEWLINE = 0x0a
const NOTHING = Buffer.alloc(0)
/** Nothing ever notifies this cell, so waiting on it is a sleep. */
const SLEEP_CELL = new Int32Array(new SharedArrayBuffer(4))

/**
 * A stream of lines to one descriptor. No method throws. Only `flushSync` blocks, for a short time.
 */
export class Output {
  readonly #fd: number
  readonly #droppedText: (lines: number, cause: string) => string
  #target: OutputTarget | undefined
  /** The bytes that are being written, or the rest that a full pipe did not take. */
  #head: Buffer | undefined
  /** Whether another thread writes the head. */
  #isWriting = false
  /** The lines after the head. */
  #text = ''
  /**
   * Whether new lines are dropped. This lasts until all waiting lines are written, so that the
   * notice stands where lines are missing.
   */
  #isFull = false
  #dropped = 0
  /** Dropped lines not reported yet, and those that the notice in the head reports. */
  #untold = 0
  #told = 0
  #cause = ''
  #isInsideLine = false
  #isEnding = false
  #timer: NodeJS.Timeout | undefined
  #retryMs = MIN_RETRY_MS
  #lastFlushMs = LAST_FLUSH_MS
  #sayEmpty: () => void = () => {}

  /**
   * @param fd 1, 2 or another open descriptor.
   * @param droppedText Returns the line that reports dropped lines once writing works again.
   */
  constructor(fd: number, droppedText: (lines: number, cause: string) => string) {
    this.#fd = fd
    this.#droppedText = droppedText
  }

  /** Lines dropped so far. */
  get dropped(): number {
    return this.#dropped
  }

  /** Takes one or more lines, each with its line feed. */
  write(text: string): void {
    if (this.#isFull || this.#waiting + text.length > MAX_WAITING) {
      this.#isFull = true
      this.#drop(linesIn(text), 'EAGAIN')
      this.#schedule(FLUSH_MS)
      return
    }
    this.#text += text
    if (this.#head === undefined && this.#text.length >= BLOCK_CHARACTERS) this.#send()
    else this.#schedule(FLUSH_MS)
  }

  /** Writes at once, for text that a person waits for. */
  print(text: string): void {
    this.write(text)
    this.#send()
  }

  /** Writes the last lines. Waits for a reader for a second, or 250 ms if it takes nothing. */
  async flush(): Promise<void> {
    this.#isEnding = true
    this.#send()
    const isEmpty = new Promise<void>((resolve) => (this.#sayEmpty = resolve))
    const deadline = performance.now() + MAX_FLUSH_MS
    let before = Number.POSITIVE_INFINITY
    while (!this.#isEmpty && this.#waiting < before && performance.now() < deadline) {
      before = this.#waiting
      await Promise.race([isEmpty, delay(this.#lastFlushMs)])
    }
    // The last flush does not wait again for a reader that took nothing.
    if (!this.#isEmpty) this.#lastFlushMs = 0
  }

  /** Writes all waiting lines when the process ends and nothing can be awaited. */
  flushSync(): void {
    const deadline = performance.now() + this.#lastFlushMs
    while (this.#take() !== undefined) {
      // Node waits for the thread that writes the head, but not for a write after it.
      if (this.#isWriting) this.#head = Buffer.from(this.#text)
      const problem = this.#writeNow()
      if (problem !== undefined && problem !== 'EAGAIN') return
      if (this.#isWriting || performance.now() >= deadline) return
      if (problem === 'EAGAIN') Atomics.wait(SLEEP_CELL, 0, 0, MIN_RETRY_MS)
    }
  }

  /** Size of the waiting lines. */
  get #waiting(): number {
    return (this.#head?.length ?? 0) + this.#text.length
  }

  get #isEmpty(): boolean {
    return this.#waiting === 0
  }

  #schedule(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#send()
    }, ms).unref()
  }

  #send(): void {
    if (this.#isWriting) return
    const head = this.#take()
    if (head === undefined) return this.#sayEmpty()
    const target = this.#openTarget()
    if (typeof target === 'object' && target.mayBlock) {
      this.#isWriting = true
      write(target.fd, head, (error, bytes) => {
        this.#isWriting = false
        if (error === null) this.#advance(bytes)
        this.#goOn(error === null ? undefined : codeOf(error))
      })
    } else {
      this.#goOn(this.#writeNow())
    }
  }

  /** Returns the next bytes to write. They stay in the head until all are written. */
  #take(): Buffer | undefined {
    if (this.#head !== undefined) return this.#head
    if (this.#text === '') this.#isFull = false
    if (this.#untold > 0 && !this.#isFull) {
      this.#told = this.#untold
      const notice = this.#droppedText(this.#told, this.#cause)
      this.#head = Buffer.from(`${this.#isInsideLine ? '\n' : ''}${notice}`)
    } else if (this.#text !== '') {
      this.#head = Buffer.from(this.#text)
      this.#text = ''
    }
    return this.#head
  }

  /** Writes as much of the head as possible. Returns an error code if nothing was written. */
  #writeNow(): string | undefined {
    const target = this.#openTarget()
    if (typeof target === 'string') return target
    try {
      this.#advance(writeSync(target.fd, this.#head ?? NOTHING))
      return undefined
    } catch (error) {
      return codeOf(error)
    }
  }

  /** Returns the target, or the error code of the failed attempt to open it. */
  #openTarget(): OutputTarget | string {
    try {
      return (this.#target ??= openTarget(this.#fd))
    } catch (error) {
      return codeOf(error)
    }
  }

  #advance(bytes: number): void {
    const head = this.#head ?? NOTHING
    if (bytes > 0) this.#isInsideLine = head[bytes - 1] !== NEWLINE
    this.#retryMs = MIN_RETRY_MS
    this.#head = bytes < head.length ? head.subarray(bytes) : undefined
    if (this.#head !== undefined) return
    this.#untold -= this.#told
    this.#told = 0
  }

  #goOn(problem: string | undefined): void {
    if (problem === 'EAGAIN') {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#schedule(this.#retryMs)
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
    } else if (problem !== undefined) {
      this.#dropAll(problem)
    } else if (this.#isUrgent) {
      this.#send()
    } else if (!this.#isEmpty) {
      this.#schedule(FLUSH_MS)
    }
  }

  get #isUrgent(): boolean {
    const { length } = this.#text
    return (
      this.#head !== undefined || this.#untold > 0 || this.#isEnding || length > BLOCK_CHARACTERS
    )
  }

  /** Drops all waiting lines after an error: the disk or the reader may never come back. */
  #dropAll(cause: string): void {
    const rest = this.#told > 0 ? 0 : linesIn(this.#head?.toString('latin1') ?? '')
    this.#drop(rest + linesIn(this.#text), cause)
    this.#told = 0
    this.#head = undefined
    this.#text = ''
    this.#isFull = false
    this.#sayEmpty()
    this.#schedule(ERROR_RETRY_MS)
  }

  #drop(lines: number, cause: string): void {
    this.#dropped += lines
    this.#untold += lines
    this.#cause = cause
  }
}

function linesIn(text: string): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1
  return lines
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}
