/**
 * Maps bytes to the strings of onnxruntime-node, and back. onnxruntime-node passes strings on as C
 * strings: an element ends at its first NUL, and bytes that are not UTF-8 are replaced. In an
 * element with such bytes, each byte b becomes the character U+10FE00+b (private use). In outputs,
 * every character of that range becomes its byte again. Plain text is not changed, so tokenizers
 * and look-ups see the text that was sent; operators that only move strings keep the mapped
 * characters.
 */
import { isUtf8 } from 'node:buffer'

const FIRST_MARK = 0x10_fe00
/** First half of the surrogate pair of every character that stands for a byte. */
const MARK_LEAD = '\udbff'
const MARKS = /[\u{10fe00}-\u{10feff}]+/gu

/** Maps a text to the element that onnxruntime gets. */
export function textToElement(text: string): string {
  if (!text.includes('\0') && !hasMarks(text)) return text
  return markBytes(Buffer.from(text))
}

/** Maps any bytes to the element that onnxruntime gets. */
export function bytesToElement(bytes: Buffer): string {
  return isUtf8(bytes) ? textToElement(bytes.toString()) : markBytes(bytes)
}

/** Maps the bytes of an element that is a whole file. The usual mapping would need much memory. */
export function fileToElement(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/** Maps an element to its bytes. */
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

/** Number of bytes that an element stands for. */
export function elementByteLength(element: string): number {
  return hasMarks(element) ? elementToBytes(element).length : Buffer.byteLength(element)
}

/** Writes the bytes of an element at an offset and returns the offset after them. */
export function writeElement(element: string, bytes: Buffer, at: number): number {
  if (!hasMarks(element)) return at + bytes.write(element, at)
  return at + elementToBytes(element).copy(bytes, at)
}

/** Maps an element to its text; `undefined` when the bytes are not UTF-8. */
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
