/** What the output of a command goes to, and how to colour it. */
import process from 'node:process'

/** Control characters, separators of lines, and characters that turn the direction of a text. */
const CONTROLS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu
const LINE_CONTROLS = /(?![\n\t])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu
/** Width of a terminal that does not report one. */
const USUAL_COLUMNS = 80

/** Properties of an output stream. */
export interface Terminal {
  /** Whether a person reads the output now. */
  readonly isTerminal: boolean
  /** Width in characters; infinite for a file or a pipe, whose lines must not be cut. */
  readonly columns: number
  readonly hasColors: boolean
  /** Whether a line can be written again. Terminals of type `dumb` cannot move the cursor. */
  readonly canRedraw: boolean
}

/** A file or a pipe. */
export const NO_TERMINAL: Terminal = {
  isTerminal: false,
  columns: Number.POSITIVE_INFINITY,
  hasColors: false,
  canRedraw: false,
}

/** Returns the properties of a stream. Node reads `NO_COLOR`, `FORCE_COLOR` and `TERM`. */
export function terminalOf(stream: NodeJS.WriteStream): Terminal {
  if (!stream.isTTY) return NO_TERMINAL
  return {
    isTerminal: true,
    columns: stream.columns > 0 ? stream.columns : USUAL_COLUMNS,
    hasColors: stream.hasColors(),
    canRedraw: process.env['TERM'] !== 'dumb',
  }
}

const STYLES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] }

/** Name of a style. */
export type StyleName = keyof typeof STYLES

/** Returns the text in a style; unchanged if the terminal shows no colours. */
export function paint({ hasColors }: Terminal, style: StyleName, text: string): string {
  const [on, off] = STYLES[style]
  return hasColors && text !== '' ? `\u001b[${on}m${text}\u001b[${off}m` : text
}

/** Replaces characters that a terminal obeys. A model name or an error may contain any. */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS, ' ')
}

/** The same for a text of several lines, such as an error of a server. */
export function printableLines(text: string): string {
  return text.replaceAll(LINE_CONTROLS, ' ')
}

/**
 * Escapes the characters of JSON that a terminal obeys. `JSON.stringify` leaves some of them, such
 * as U+009B, which begins a control sequence as ESC does. The value stays the same.
 */
export function printableJson(json: string): string {
  return json.replaceAll(
    LINE_CONTROLS,
    (text) => `\\u${text.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
