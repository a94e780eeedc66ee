/**
 * Encodes and decodes UTF-8, fast for the many short ASCII texts of a frame: names, ids and header
 * values. A call into native code costs more than such a text, and a usual predict frame has forty
 * of them.
 */
import { isUtf8 } from 'node:buffer'
import { ProtocolError } from '../../errors.ts'

/**
 * Bytes. Short texts are substrings of a string of this size. A substring keeps the whole string
 * alive, so it is small.
 */
const WINDOW_BYTES = 1024
/** Above these lengths (bytes to read, UTF-16 units to write) native code is faster than a loop. */
const MAX_LOOP_READ = 64
const MAX_LOOP_WRITE = 32
const LAST_ASCII = 0x7f
const REPLACEMENT_CHARACTER = '\uFFFD'

/** Reads texts of one chunk, from front to back. */
export class TextWindow {
  #chunk: Buffer = Buffer.alloc(0)
  /** Part of the chunk from {@link #start} on, with one character for each byte. */
  #window = ''
  #start = 0

  reset(chunk: Buffer): void {
    this.#chunk = chunk
    this.#window = ''
    this.#start = 0
  }

  /**
   * Decodes these bytes of the chunk.
   * @throws ProtocolError when they are not UTF-8.
   */
  read(start: number, end: number): string {
    if (end - start > MAX_LOOP_READ || !isAscii(this.#chunk, start, end)) {
      return decodeText(this.#chunk, start, end)
    }
    if (end > this.#start + this.#window.length) {
      this.#window = this.#chunk.toString('latin1', start, start + WINDOW_BYTES)
      this.#start = start
    }
    return this.#window.substring(start - this.#start, end - this.#start)
  }
}

/**
 * Decodes bytes with `toString`, which is several times faster than a fatal `TextDecoder` but
 * replaces invalid bytes with U+FFFD.
 * @throws ProtocolError when they are not UTF-8.
 */
export function decodeText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end)
  if (text.includes(REPLACEMENT_CHARACTER) && !isUtf8(bytes.subarray(start, end))) {
    throw new ProtocolError('a text is not valid UTF-8')
  }
  return text
}

/**
 * Writes UTF-8 and returns the number of bytes. The target must have enough room. A lone surrogate
 * becomes U+FFFD.
 */
export function writeText(target: Buffer, text: string, start: number): number {
  if (text.length > MAX_LOOP_WRITE) return target.write(text, start)
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit > LAST_ASCII) return target.write(text, start)
    target[start + index] = unit
  }
  return text.length
}

function isAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let index = start; index < end; index++) {
    if ((bytes[index] ?? 0) > LAST_ASCII) return false
  }
  return true
}
