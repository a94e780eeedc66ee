import { isUtf8 } from 'node:buffer'
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'
import { isDigit, skipNumber } from './number-scanner.ts'
import type { JsonCursor } from './number-scanner.ts'

const SPACE = 0x20
const LAST_ASCII = 0x7e
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * Reads JSON from its bytes, member by member, without building values and without recursion: the
 * caller asks for the value that it expects. It is strict (RFC 8259) except for `NaN` and
 * `Infinity`, which Python clients send. Every method throws `InvalidInputException` with the byte
 * offset of the error.
 */
export class JsonReader implements JsonCursor {
  readonly bytes: Buffer
  /** A view of the same bytes, to read several at once. */
  readonly view: DataView
  /** Offset of the next byte. The scanners of numbers and strings move it. */
  position = 0
  readonly maxDepth: number
  #depth = 0

  constructor(bytes: Buffer, maxDepth: number) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.maxDepth = maxDepth
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
      throw this.error('it starts with a byte order mark; send UTF-8 without one')
    }
  }

  /** The next byte that is not white space, without consuming it; -1 at the end. */
  peek(): number {
    const { bytes } = this
    let at = this.position
    let byte = bytes[at]
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]
    this.position = at
    return byte ?? -1
  }

  isObject(): boolean {
    return this.peek() === OPEN_OBJECT
  }

  isArray(): boolean {
    return this.peek() === OPEN_ARRAY
  }

  isString(): boolean {
    return this.peek() === QUOTE
  }

  /** Enters an object. Returns false, and leaves it, when it is empty. */
  openObject(): boolean {
    this.#open(OPEN_OBJECT, 'an object')
    if (this.peek() !== CLOSE_OBJECT) return true
    this.#close()
    return false
  }

  /** Reads the name of the next member and the colon. With `isSkipped` it returns an empty name. */
  readKey(isSkipped = false): string {
    if (this.peek() !== QUOTE) throw this.unexpected('a name in double quotes')
    const key = isSkipped ? this.#checkString() : this.readString()
    if (this.peek() !== COLON) throw this.unexpected('":"')
    this.position++
    return key
  }

  /** Call after a member's value. True: another member follows. False: the object has ended. */
  nextMember(): boolean {
    return this.#next(CLOSE_OBJECT, '"," or "}"')
  }

  /** Enters an array. Returns false, and leaves it, when it is empty. */
  openArray(): boolean {
    this.#open(OPEN_ARRAY, 'an array')
    if (this.peek() !== CLOSE_ARRAY) return true
    this.#close()
    return false
  }

  /** Call after an element. True: another element follows. False: the array has ended. */
  nextElement(): boolean {
    if (!this.#next(CLOSE_ARRAY, '"," or "]"')) return false
    if (this.peek() === CLOSE_ARRAY) throw this.unexpected('a value')
    return true
  }

  readString(): string {
    const start = this.position
    const hasEscape = this.#skipString()
    const end = this.position - 1
    if (hasEscape) return this.#unescape(start)
    return this.bytes.toString('utf8', start + 1, end)
  }

  /** Consumes `word` (such as `true`) if it comes next, and says whether it did. */
  take(word: string): boolean {
    this.peek()
    for (let index = 0; index < word.length; index++) {
      if (this.bytes[this.position + index] !== word.charCodeAt(index)) return false
    }
    this.position += word.length
    return true
  }

  /** Checks and skips any value. */
  skipValue(): void {
    const open: boolean[] = []
    do {
      if (open.at(-1) === true) this.readKey(true)
      const isObject = this.isObject()
      if (isObject || this.isArray()) {
        if (isObject ? this.openObject() : this.openArray()) {
          open.push(isObject)
          continue
        }
      } else {
        this.#skipScalar()
      }
      while (open.length > 0 && !(open.at(-1) === true ? this.nextMember() : this.nextElement())) {
        open.pop()
      }
    } while (open.length > 0)
  }

  /** Checks that only white space follows. */
  end(): void {
    if (this.peek() !== -1) throw this.unexpected('the end of the body')
  }

  error(problem: string, at = this.position): ServerError {
    return new ServerError('InvalidInputException', `Malformed JSON at byte ${at}: ${problem}.`)
  }

  unexpected(expected: string): ServerError {
    return this.error(`expected ${expected}, got ${this.token()}`)
  }

  /** The token at the position, shortened, for error texts. */
  token(): string {
    const byte = this.peek()
    if (byte === -1) return 'the end'
    if (byte < SPACE || byte > LAST_ASCII) return `the byte 0x${byte.toString(16).padStart(2, '0')}`
    const text = this.bytes.toString('utf8', this.position, this.position + 40)
    const [token = ''] = /^(?:"(?:[^"\\]|\\.)*"?|[\w.+-]+|[^])/u.exec(text) ?? []
    return /^[\w.+-]+$/.test(token)
      ? token
      : token.startsWith('"')
        ? `the string ${quote(token.replaceAll('"', ''))}`
        : quote(token)
  }

  #open(byte: number, what: string): void {
    if (this.peek() !== byte) throw this.unexpected(what)
    if (this.#depth === this.maxDepth) {
      throw this.error(`nested deeper than ${this.maxDepth} levels`)
    }
    this.#depth++
    this.position++
  }

  #close(): void {
    this.#depth--
    this.position++
  }

  #next(close: number, expected: string): boolean {
    const byte = this.peek()
    if (byte === close) {
      this.#close()
      return false
    }
    if (byte !== COMMA) throw this.unexpected(expected)
    this.position++
    return true
  }

  #skipScalar(): void {
    if (this.isString()) this.#checkString()
    else if (isDigit(this.peek())) skipNumber(this)
    else if (!this.take('true') && !this.take('false') && !this.take('null')) skipNumber(this)
  }

  /** Like {@link readString}, but builds the string only where that is necessary to check it. */
  #checkString(): '' {
    const start = this.position
    if (this.#skipString()) this.#unescape(start)
    return ''
  }

  /** Moves after the closing quote. Returns true when the string has escapes. */
  #skipString(): boolean {
    const { bytes } = this
    const start = this.position
    let at = start + 1
    let hasEscape = false
    let high = 0
    for (; ; at++) {
      const byte = bytes[at]
      if (byte === QUOTE) break
      if (byte === undefined) throw this.error('the string has no closing quote', start)
      if (byte < 0x20) throw this.error('a control character in a string must be escaped', at)
      high |= byte
      if (byte === BACKSLASH) {
        hasEscape = true
        at++
      }
    }
    if (high > 0x7f && !isUtf8(bytes.subarray(start, at))) {
      throw this.error('the string is not valid UTF-8', start)
    }
    this.position = at + 1
    return hasEscape
  }

  #unescape(start: number): string {
    let text: unknown
    try {
      text = JSON.parse(this.bytes.toString('utf8', start, this.position))
    } catch {
      throw this.error('the string has an invalid escape', start)
    }
    if (typeof text !== 'string') throw this.error('expected a string', start)
    if (LONE_SURROGATE.test(text)) {
      throw this.error('the string has half of a surrogate pair, which is not valid Unicode', start)
    }
    return text
  }
}
