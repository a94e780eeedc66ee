/**
 * Parses the Protocol Buffers text format, the language of Triton's `config.pbtxt`, without a
 * schema. Every field is a list of values; the caller knows the kind of each field.
 */
import { ServerError } from '../../../errors.ts'

const MAX_BYTES = 256 * 1024
const MAX_DEPTH = 100

const SPACE = /\s+/y
const IDENTIFIER = /[A-Za-z_]\w*/y
const EXTENSION = /\[\s*[\w./-]+\s*\]/y
const NUMBER = /0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?/y
const PLAIN_CHARACTERS = /[^'"\\\n]+/y
const ESCAPE = /\\(?:[0-7]{1,3}|[xX][\da-fA-F]{1,2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[abfnrtv?'"\\])/y
const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '?': '?',
  "'": "'",
  '"': '"',
  '\\': '\\',
}

/** A value and its position in the text. Integers above 2^53 lose digits. */
export type TextValue =
  | { readonly kind: 'integer' | 'float'; readonly value: number; readonly offset: number }
  | { readonly kind: 'string' | 'word'; readonly value: string; readonly offset: number }
  | TextMessage

/** A message: every value of each field, in order. */
export interface TextMessage {
  readonly kind: 'message'
  readonly fields: ReadonlyMap<string, readonly TextValue[]>
  readonly offset: number
}

/** A text, and its name for errors. */
export class TextSource {
  readonly name: string
  readonly text: string

  constructor(name: string, text: string) {
    this.name = name
    this.text = text
  }

  /** Returns an error with the line and column (both from 1) of `offset`. */
  error(offset: number, problem: string): ServerError {
    const before = this.text.slice(0, offset).split('\n')
    const column = (before.at(-1)?.length ?? 0) + 1
    return new ServerError(
      'InvalidModelException',
      `${this.name} is not valid: line ${before.length}, column ${column}: ${problem}.`,
    )
  }
}

/**
 * Parses one message in text format.
 * @throws ServerError `InvalidModelException` with line and column; also above 256 KiB or 100
 * levels.
 */
export function parseTextFormat(source: TextSource): TextMessage {
  if (Buffer.byteLength(source.text) > MAX_BYTES) {
    throw new ServerError('InvalidModelException', `${source.name} is larger than 256 KiB.`)
  }
  return new Parser(source).message('', 0)
}

class Parser {
  readonly #source: TextSource
  readonly #text: string
  #offset = 0

  constructor(source: TextSource) {
    this.#source = source
    this.#text = source.text
  }

  /** Reads fields up to the closing bracket, or up to the end of the text if `close` is empty. */
  message(close: '}' | '>' | '', depth: number): TextMessage {
    const start = this.#offset
    if (depth > MAX_DEPTH) throw this.#error(`messages are nested deeper than ${MAX_DEPTH} levels`)
    const fields = new Map<string, TextValue[]>()
    for (;;) {
      this.#skipSpace()
      if (this.#offset === this.#text.length) {
        if (close === '') break
        throw this.#error(`expected ${JSON.stringify(close)}, found the end of the text`)
      }
      if (close !== '' && this.#take(close)) break
      const name = this.#fieldName()
      const values = fields.get(name) ?? []
      fields.set(name, values)
      this.#fieldValues(values, depth)
      if (!this.#take(',')) this.#take(';')
    }
    return { kind: 'message', fields, offset: start }
  }

  #fieldName(): string {
    const name = this.#match(IDENTIFIER) ?? this.#match(EXTENSION)?.replace(/\s/g, '')
    if (name === undefined) throw this.#error(`expected a field name, found ${this.#found()}`)
    return name
  }

  /** Reads `: value`, `{ … }` or `[value, …]`. Only messages may have no colon. */
  #fieldValues(values: TextValue[], depth: number): void {
    const hasColon = this.#take(':')
    if (!this.#take('[')) {
      values.push(this.#value(hasColon, depth))
      return
    }
    if (this.#take(']')) return
    do values.push(this.#value(hasColon, depth))
    while (this.#take(','))
    if (!this.#take(']')) throw this.#error(`expected "," or "]", found ${this.#found()}`)
  }

  #value(scalarAllowed: boolean, depth: number): TextValue {
    this.#skipSpace()
    if (this.#take('{')) return this.message('}', depth + 1)
    if (this.#take('<')) return this.message('>', depth + 1)
    if (!scalarAllowed) throw this.#error(`expected ":" or "{", found ${this.#found()}`)
    return this.#string() ?? this.#scalar()
  }

  #scalar(): TextValue {
    const offset = this.#offset
    const isNegative = this.#take('-')
    this.#skipSpace()
    const word = this.#match(IDENTIFIER)
    if (word !== undefined) {
      if (/^(?:inf|infinity)f?$/i.test(word)) {
        return { kind: 'float', value: isNegative ? -Infinity : Infinity, offset }
      }
      if (/^nanf?$/i.test(word)) return { kind: 'float', value: Number.NaN, offset }
      if (isNegative) throw this.#error(`"-${word}" is not a number`, offset)
      return { kind: 'word', value: word, offset }
    }
    const text = this.#match(NUMBER)
    if (text === undefined) throw this.#error(`expected a value, found ${this.#found()}`)
    const isOctal = /^0\d+$/.test(text)
    if (/[\w.]/.test(this.#text[this.#offset] ?? '') || (isOctal && /[89]/.test(text))) {
      throw this.#error('invalid number', offset)
    }
    const magnitude = numberOf(text)
    const kind = /^(?:0x[\da-f]+|\d+)$/i.test(text) ? 'integer' : 'float'
    return { kind, value: isNegative ? -magnitude : magnitude, offset }
  }

  /** Reads one or more string literals in a row. Their joined bytes must be UTF-8. */
  #string(): TextValue | undefined {
    const offset = this.#offset
    const parts: Buffer[] = []
    for (;;) {
      const quote = ['"', "'"].find((character) => this.#take(character))
      if (quote === undefined) break
      this.#stringParts(quote, parts)
      this.#skipSpace()
    }
    if (this.#offset === offset) return undefined
    try {
      const value = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
        Buffer.concat(parts),
      )
      return { kind: 'string', value, offset }
    } catch {
      throw this.#error('the string is not valid UTF-8', offset)
    }
  }

  #stringParts(quote: string, parts: Buffer[]): void {
    for (;;) {
      const plain = this.#match(PLAIN_CHARACTERS)
      if (plain !== undefined) parts.push(Buffer.from(plain))
      const character = this.#text[this.#offset]
      if (character === undefined || character === '\n') throw this.#error('the string never ends')
      if (character === '\\') {
        const offset = this.#offset
        const escape = this.#match(ESCAPE)
        const bytes = escape === undefined ? undefined : unescape(escape.slice(1))
        if (bytes === undefined) throw this.#error('unknown escape in a string', offset)
        parts.push(bytes)
        continue
      }
      this.#offset += 1
      if (character === quote) return
      parts.push(Buffer.from(character))
    }
  }

  /** Skips white space and comments, and then `character` if it is next. */
  #take(character: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#offset] !== character) return false
    this.#offset += 1
    return true
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#offset
    const found = pattern.exec(this.#text)?.[0]
    this.#offset += found?.length ?? 0
    return found
  }

  #skipSpace(): void {
    for (;;) {
      this.#match(SPACE)
      if (this.#text[this.#offset] !== '#') return
      const end = this.#text.indexOf('\n', this.#offset)
      this.#offset = end === -1 ? this.#text.length : end
    }
  }

  #found(): string {
    const character = this.#text[this.#offset]
    return character === undefined ? 'the end of the text' : JSON.stringify(character)
  }

  #error(problem: string, offset = this.#offset): ServerError {
    return this.#source.error(offset, problem)
  }
}

function numberOf(text: string): number {
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8)
  return Number(/^0x/i.test(text) ? text : text.replace(/f$/i, ''))
}

/**
 * Returns the bytes of an escape, given without its backslash; `undefined` if it is not a valid
 * character.
 */
function unescape(escape: string): Buffer | undefined {
  const simple = SIMPLE_ESCAPES[escape]
  if (simple !== undefined) return Buffer.from(simple)
  if (/^[0-7]/.test(escape)) return Buffer.from([Number.parseInt(escape, 8) & 0xff])
  const code = Number.parseInt(escape.slice(1), 16)
  if (/^x/i.test(escape)) return Buffer.from([code])
  const isCharacter = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)
  return isCharacter ? Buffer.from(String.fromCodePoint(code)) : undefined
}
