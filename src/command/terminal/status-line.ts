/** One line at the bottom of a terminal that is written again and again. */
import { printable, terminalOf } from './terminal.ts'
import type { Terminal } from './terminal.ts'

/** Goes to the start of the line and removes its text. */
const ERASE = '\r\u001b[K'

/** The line does not change more often; an upload calls for each piece of the file. */
const MIN_PAUSE_MS = 100

/** Writes nothing if the terminal cannot redraw lines. */
export class StatusLine {
  readonly #stream: NodeJS.WriteStream
  readonly #terminal: Terminal
  #isShown = false
  #shownAt = Number.NEGATIVE_INFINITY

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    this.#terminal = terminalOf(stream)
  }

  /** Replaces the line. */
  show(line: string): void {
    const now = performance.now()
    if (!this.#terminal.canRedraw || now - this.#shownAt < MIN_PAUSE_MS) return
    this.#shownAt = now
    // A full line would move the cursor to the next one.
    const text = printable(line).slice(0, this.#terminal.columns - 1)
    this.#stream.write(`${ERASE}${text}`)
    this.#isShown = true
  }

  /** Removes the line. */
  clear(): void {
    if (this.#isShown) this.#stream.write(ERASE)
    this.#isShown = false
  }
}

/** Returns a bar for a part between 0 and 1: `████████░░░░`. */
export function bar(part: number, width: number): string {
  const full = Math.round(Math.max(0, Math.min(1, part)) * width)
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`
}
