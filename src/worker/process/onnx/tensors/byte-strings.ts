/**
 * onnxruntime-node hands strings over as C strings: an element ends at its first NUL, and bytes that are not
 * UTF-8 are replaced. Such an element travels with each byte b as the character U+10FE00+b (private use), and
 * every character of that range is turned back into its byte on the way out. Plain text is left alone, so
 * tokenizers and look-ups see what was sent; operators that only move strings carry the rest through.
 */
import { isUtf8 } from 'node:buffer'

const FIRST_MARK = 0x10_fe00
/** First half of the surrogate pair of every character that marks a byte. */
const MARK_LEAD = '\udbff'
const MARKS = /[\u{10fe00}-\u{10feff}]+/gu

/** A text as the element that onnxruntime gets. */
export function textToElement(text: string): string {
  if (!text.includes('\0') && !hasMarks(text)) return text
  return markBytes(Buffer.from(text))
}

/** Any bytes as the element that onnxruntime gets. */
export function bytesToElement(bytes: Buffer): string {
  return isUtf8(bytes) ? textToElement(bytes.toString()) : markBytes(bytes)
}

/** The bytes that an element stands for. */
export function elementToBytes(element: string): Buffer {
  if (!hasMarks(element)) return Buffer.from(element)
  const parts: Buffer[] = []
  let plainFrom = 0
  for (const match of element.matchAll(MARKS)) {
    parts.push(Buffer.from(element.slice(plainFrom, match.index)))
    parts.push(Buffer.from(Array.from(match[0], (mark) => (mark.codePointAt(0) ?? 0) - FIRST_MARK)))
    plainFrom = match.index + match[0].length
  }
  parts.push(Buffer.from(element.slice(plainFrom)))
  return Buffer.concat(parts)
}

/** How many bytes an element stands for. */
export function elementByteLength(element: string): number {
  return hasMarks(element) ? elementToBytes(element).length : Buffer.byteLength(element)
}

/** Writes the bytes that an element stands for at an offset and returns the offset behind them. */
export function writeElement(element: string, bytes: Buffer, at: number): number {
  if (!hasMarks(element)) return at + bytes.write(element, at)
  return at + elementToBytes(element).copy(bytes, at)
}

/** The text that an element stands for, `undefined` when it is not UTF-8. */
export function elementToText(element: string): string | undefined {
  if (!hasMarks(element)) return element
  const bytes = elementToBytes(element)
  return isUtf8(bytes) ? bytes.toString() : undefined
}

function hasMarks(text: string): boolean {
  return text.includes(MARK_LEAD) && text.search(MARKS) >= 0
}

function markBytes(bytes: Buffer): string {
  let text = ''
  for (const byte of bytes) text += String.fromCodePoint(FIRST_MARK + byte)
  return text
}
