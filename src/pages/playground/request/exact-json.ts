/**
 * JSON whose numbers keep their text. `JSON.parse` would change 64-bit integers above 2^53. It does
 * not read NaN and the infinities, which the server accepts.
 */

/** A value of JSON. An object keeps all its members in their order. */
export type ExactJson =
  | { readonly kind: 'word'; readonly value: boolean | null }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'list'; readonly items: readonly ExactJson[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [string, ExactJson])[] }

/** A text is not JSON. The message is for the user. */
export class JsonProblem extends Error {
  override name = 'JsonProblem'
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|-?Infinity|NaN/y
const STRING = /"(?:[^"\\]|\\.)*"/y
const WORD = /true|false|null/y
const SPACE = /[ \t\n\r]*/y
/** Deeper lists would end the browser's stack. No tensor has so many dimensions. */
const MAX_DEPTH = 200
const LINE_WIDTH = 80

/** @throws JsonProblem with the line and the column of the first mistake. */
export function parseExact(text: string): ExactJson {
  return new Parser(text).parse()
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): ExactJson {
    const value = this.#value(0)
    this.#space()
    if (this.#at < this.#text.length) throw this.#problem('Text after the end of the value')
    return value
  }

  #value(depth: number): ExactJson {
    if (depth > MAX_DEPTH) throw this.#problem('Too many lists in lists')
    this.#space()
    const next = this.#text[this.#at]
    if (next === undefined) throw this.#problem('A value is missing')
    if (next === '[') return { kind: 'list', items: this.#list(depth) }
    if (next === '{') return { kind: 'object', members: this.#members(depth) }
    if (next === '"') return { kind: 'string', value: this.#string() }
    const word = this.#match(WORD)
    if (word !== undefined) {
      return { kind: 'word', value: word === 'null' ? null : word === 'true' }
    }
    const number = this.#match(NUMBER)
    if (number !== undefined) return { kind: 'number', text: number }
    throw this.#problem('This is not a number, a text in double quotes, a list or an object')
  }

  #list(depth: number): ExactJson[] {
    const items: ExactJson[] = []
    this.#at += 1
    if (this.#takes(']')) return items
    do items.push(this.#value(depth + 1))
    while (this.#takes(','))
    if (!this.#takes(']')) throw this.#problem('A comma or "]" is missing')
    return items
  }

  #members(depth: number): [string, ExactJson][] {
    const members: [string, ExactJson][] = []
    this.#at += 1
    if (this.#takes('}')) return members
    do {
      this.#space()
      const name = this.#string()
      if (!this.#takes(':')) throw this.#problem('":" is missing')
      members.push([name, this.#value(depth + 1)])
    } while (this.#takes(','))
    if (!this.#takes('}')) throw this.#problem('A comma or "}" is missing')
    return members
  }

  #string(): string {
    const literal = this.#match(STRING)
    if (literal === undefined) throw this.#problem('A text in double quotes is missing')
    try {
      return String(JSON.parse(literal))
    } catch {
      throw this.#problem('A text has a line end or another control character, or a wrong escape')
    }
  }

  #takes(character: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  #space(): void {
    this.#match(SPACE)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const [found] = pattern.exec(this.#text) ?? []
    if (found !== undefined) this.#at += found.length
    return found
  }

  #problem(message: string): JsonProblem {
    const before = this.#text.slice(0, this.#at).split('\n')
    const column = (before.at(-1) ?? '').length + 1
    return new JsonProblem(`${message} (line ${before.length}, column ${column}).`)
  }
}

/** Writes a value on one line. */
export function writeExact(value: ExactJson): string {
  switch (value.kind) {
    case 'word':
      return String(value.value)
    case 'number':
      return value.text
    case 'string':
      return JSON.stringify(value.value)
    case 'list':
      return `[${value.items.map(writeExact).join(', ')}]`
    case 'object':
      return `{${value.members.map(([name, member]) => `${JSON.stringify(name)}: ${writeExact(member)}`).join(', ')}}`
  }
}

/** Writes a value for a reader: what fits on a line stays on one line. */
export function layOut(value: ExactJson, indent = ''): string {
  const line = isFlat(value) ? writeExact(value) : undefined
  const isScalar = value.kind !== 'list' && value.kind !== 'object'
  if (line !== undefined && (isScalar || line.length + indent.length <= LINE_WIDTH)) return line
  const inner = `${indent}  `
  if (value.kind === 'object') {
    const members = value.members.map(
      ([name, member]) => `${inner}${JSON.stringify(name)}: ${layOut(member, inner)}`,
    )
    return `{\n${members.join(',\n')}\n${indent}}`
  }
  if (value.kind === 'list') {
    const items = value.items.map((item) => layOut(item, inner))
    const isFilled = value.items.every(({ kind }) => kind === 'number' || kind === 'word')
    return `[\n${isFilled ? filled(items, inner) : items.map((item) => inner + item).join(',\n')}\n${indent}]`
  }
  return writeExact(value)
}

/** Puts as many numbers on a line as fit. */
function filled(items: readonly string[], indent: string): string {
  const lines: string[] = []
  let line = indent
  for (const [index, item] of items.entries()) {
    const text = index < items.length - 1 ? `${item},` : item
    if (line !== indent && line.length + text.length + 1 > LINE_WIDTH) {
      lines.push(line)
      line = indent
    }
    line += line === indent ? text : ` ${text}`
  }
  return [...lines, line].join('\n')
}

/** Whether a value may stand on one line: writing a large one only to measure it would be slow. */
function isFlat(value: ExactJson): boolean {
  if (value.kind === 'list')
    return value.items.length <= LINE_WIDTH / 2 && value.items.every(isFlat)
  if (value.kind === 'object') {
    return value.members.length <= LINE_WIDTH / 4 && value.members.every(([, one]) => isFlat(one))
  }
  return true
}

/**
 * Returns the value of a text if objects of JavaScript and Python keep everything in it. Returns
 * `undefined` for other values and for text that is not JSON.
 */
export function plainValue(text: string): ExactJson | undefined {
  try {
    const value = parseExact(text)
    return isPlain(value) ? value : undefined
  } catch (error) {
    if (error instanceof JsonProblem) return undefined
    throw error
  }
}

function isPlain(value: ExactJson): boolean {
  switch (value.kind) {
    case 'number':
      // The server takes 1e3 for an integer only in some places, and a program writes 1000.
      return /^-?\d{1,15}(?:\.\d+)?$/.test(value.text)
    case 'list':
      return value.items.every(isPlain)
    case 'object':
      return (
        new Set(value.members.map(([name]) => name)).size === value.members.length &&
        value.members.every(([, member]) => isPlain(member))
      )
    default:
      return true
  }
}
