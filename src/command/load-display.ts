/**
 * Shows loads, uploads and downloads on a terminal: one line for each, below the log, until it
 * ends.
 */
import { modelBytes } from '../models/loading/load-progress.ts'
import type { LoadProgress } from '../models/loading/load-progress.ts'
import type { Transfer } from '../models/transfers/transfers.ts'
import type { RunningWork } from '../server.ts'
import type { Output } from './output.ts'
import { bar } from './terminal/status-line.ts'
import { printable } from './terminal/terminal.ts'
import type { Terminal } from './terminal/terminal.ts'
import { durationText, sizeText } from './terminal/units.ts'

const REDRAW_MS = 200
/** Shorter work is not shown, because its line would only flicker. */
const MIN_SHOWN_MS = 300
const MAX_LINES = 8
const BAR_WIDTH = 20

/** All writes to the terminal go through it, so that a log line never mixes with its lines. */
export class LoadDisplay {
  readonly #output: Output
  readonly #terminal: Terminal
  readonly #bytes = new Map<string, number | undefined>()
  #work: () => RunningWork = () => ({ loads: [], transfers: [] })
  #timer: NodeJS.Timeout | undefined
  /** Number of lines that stand at the bottom of the terminal now. */
  #shown = 0

  constructor(output: Output, terminal: Terminal) {
    this.#output = output
    this.#terminal = terminal
  }

  /** Names of the models that are being loaded. */
  get loading(): string[] {
    return [...new Set(this.#work().loads.map(({ name }) => name))]
  }

  /** Begins to show the work, if the terminal can redraw lines. */
  watch(work: () => RunningWork): void {
    this.#work = work
    if (!this.#terminal.canRedraw) return
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS).unref()
  }

  /** Writes log lines above the lines of the work. */
  write(lines: string): void {
    this.#output.write(`${this.#takeErasure()}${lines}`)
  }

  /** Removes the lines, so that something else can be written. They come again. */
  erase(): void {
    const erasure = this.#takeErasure()
    if (erasure !== '') this.#output.print(erasure)
  }

  /** Removes the lines for good. */
  close(): void {
    clearInterval(this.#timer)
    this.erase()
  }

  #draw(): void {
    const { loads, transfers } = this.#work()
    const lines = [
      ...transfers.map((transfer) => ({ ms: transfer.elapsedMs, text: transferText(transfer) })),
      ...loads.map((load) => ({ ms: load.elapsedMs, text: this.#loadText(load) })),
    ]
      .filter(({ ms }) => ms >= MIN_SHOWN_MS)
      .slice(0, MAX_LINES)
    if (lines.length === 0 && this.#shown === 0) return
    const columns = this.#terminal.columns - 1
    const shown = lines.map(({ ms, text }) =>
      `${printable(text)}, ${durationText(ms)}`.slice(0, columns),
    )
    this.#output.print(`${this.#takeErasure()}${shown.map((line) => `${line}\n`).join('')}`)
    this.#shown = lines.length
  }

  #loadText({ name, version, phase, modelPath }: LoadProgress): string {
    const model = version === undefined ? name : `${name} ${version}`
    const bytes = this.#sizeOf(modelPath)
    const size = bytes === undefined ? '' : `, ${sizeText(bytes)}`
    switch (phase) {
      case 'files':
        return `reading the files of ${model}`
      case 'weights':
        return `preparing the weights of ${model}${size}`
      case 'workers':
        return `loading ${model}${size}`
    }
  }

  /** The size is known at the next drawing. */
  #sizeOf(modelPath: string | undefined): number | undefined {
    if (modelPath === undefined) return undefined
    if (!this.#bytes.has(modelPath)) {
      this.#bytes.set(modelPath, undefined)
      modelBytes(modelPath).then(
        (bytes) => this.#bytes.set(modelPath, bytes),
        () => {},
      )
    }
    return this.#bytes.get(modelPath)
  }

  /** Moves the cursor up and removes everything below. */
  #takeErasure(): string {
    if (this.#shown === 0) return ''
    const erasure = `\u001b[${this.#shown}A\r\u001b[J`
    this.#shown = 0
    return erasure
  }
}

function transferText({ kind, name, bytes, totalBytes }: Transfer): string {
  const file = name ?? 'a model'
  if (totalBytes === undefined || totalBytes === 0) return `${kind} of ${file}, ${sizeText(bytes)}`
  const part = bytes / totalBytes
  return `${kind} of ${file} ${bar(part, BAR_WIDTH)} ${sizeText(bytes)} of ${sizeText(totalBytes)}`
}
