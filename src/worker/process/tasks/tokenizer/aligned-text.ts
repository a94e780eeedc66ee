import { ServerError } from '../../../../errors.ts'

/**
 * A text that normalizers and pre-tokenizers change, while each character keeps the range of the
 * original text that it stands for. The rules are those of the Rust tokenizers, so that offsets are
 * the same: a replaced character keeps its range, an inserted one gets the range of the character
 * before it.
 */
export interface AlignedText {
  /** Code points. */
  readonly chars: readonly string[]
  /** For each of them, its range in the original text, in code points. */
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

/** A part of a text: positions of its first character and the one after its last. */
export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * Normalizers that replace a letter by several make texts longer, in a sequence exponentially. This
 * is eight times the longest text of a request.
 */
const MAX_CHARS = 2_000_000

/** Collects characters of a new text. */
export class TextBuilder {
  readonly chars: string[] = []
  readonly starts: number[] = []
  readonly ends: number[] = []

  /** Adds the code points of `text` with the range of the character at `index` of `source`. */
  add(text: string, source: AlignedText, index: number): void {
    if (this.chars.length > MAX_CHARS) throw tooLong()
    for (const char of text) {
      this.chars.push(char)
      this.starts.push(source.starts[index] ?? 0)
      this.ends.push(source.ends[index] ?? 0)
    }
  }
}

function tooLong(): ServerError {
  return new ServerError(
    'PayloadTooLargeException',
    `The rules of tokenizer.json turn the text into more than ${MAX_CHARS} characters.`,
  )
}

/** Returns a text whose characters stand for themselves. */
export function alignedText(text: string): AlignedText {
  const chars = Array.from(text)
  return { chars, starts: chars.map((_, index) => index), ends: chars.map((_, index) => index + 1) }
}

export function slice({ chars, starts, ends }: AlignedText, { start, end }: Span): AlignedText {
  return {
    chars: chars.slice(start, end),
    starts: starts.slice(start, end),
    ends: ends.slice(start, end),
  }
}

/** Replaces each character by the text that `change` returns for it. */
export function mapChars(text: AlignedText, change: (char: string) => string): AlignedText {
  const built = new TextBuilder()
  for (const [index, char] of text.chars.entries()) built.add(change(char), text, index)
  return built
}

/** Puts `prefix` before a text that is not empty. */
export function prepend(text: AlignedText, prefix: string): AlignedText {
  if (text.chars.length === 0) return text
  const built = new TextBuilder()
  built.add(prefix, text, 0)
  for (const [index, char] of text.chars.entries()) built.add(char, text, index)
  return built
}

/** Finds the matches of a global expression, as positions of characters. */
export function matchesIn({ chars }: AlignedText, expression: RegExp): readonly Span[] {
  const text = chars.join('')
  const positions = text.length === chars.length ? undefined : positionsOf(chars, text.length)
  return Array.from(text.matchAll(expression), ({ 0: match, index }) => ({
    start: positions?.[index] ?? index,
    end: positions?.[index + match.length] ?? index + match.length,
  }))
}

/** For each UTF-16 unit, the position of its character. */
function positionsOf(chars: readonly string[], length: number): Uint32Array {
  const positions = new Uint32Array(length + 1)
  let unit = 0
  for (const [index, char] of chars.entries()) {
    positions.fill(index, unit, unit + char.length)
    unit += char.length
  }
  positions[length] = chars.length
  return positions
}
