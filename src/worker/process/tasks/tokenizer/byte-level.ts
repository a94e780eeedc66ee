/** Byte-level BPE writes each byte of a text as one printable character, as GPT-2 does. */

const PRINTABLE: readonly (readonly [first: number, last: number])[] = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
]
const CHARS = byteChars()
/** The character of a space. */
export const SPACE_CHAR = CHARS[0x20] ?? ''

const known = new Map<string, string>()

/** Returns the bytes of a character, each written as one character. */
export function toByteChars(char: string): string {
  if (char.length === 1 && char > ' ' && char < '\u007f') return char
  const found = known.get(char)
  if (found !== undefined) return found
  const text = Array.from(Buffer.from(char), (byte) => CHARS[byte] ?? '').join('')
  if (known.size < 10_000) known.set(char, text)
  return text
}

function byteChars(): readonly string[] {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = PRINTABLE.some(([first, last]) => byte >= first && byte <= last)
    return String.fromCodePoint(isPrintable ? byte : next++)
  })
}
