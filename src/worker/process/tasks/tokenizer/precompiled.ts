/**
 * The normalizer `Precompiled` of models that were made with SentencePiece: a table of replacements
 * in a double-array trie.
 */
import { TextBuilder } from './aligned-text.ts'
import type { AlignedText } from './aligned-text.ts'
import { malformed } from './unsupported.ts'

const MAX_GRAPHEME_BYTES = 6
const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** @throws ServerError `InvalidModelException` when the table is damaged. */
export function precompiledNormalizer(base64: string): (text: AlignedText) => AlignedText {
  if (base64 === '') return (text) => text
  const table = readTable(Buffer.from(base64, 'base64'))
  return (text) => normalize(text, table)
}

/** The trie, and the replacements as texts that end with a zero byte. */
interface Table {
  readonly units: Uint32Array
  readonly replacements: Buffer
  readonly known: Map<string, string | undefined>
}

function readTable(bytes: Buffer): Table {
  const size = bytes.length < 4 ? -1 : bytes.readUInt32LE(0)
  if (size < 4 || size % 4 !== 0 || size + 4 > bytes.length) {
    throw malformed('precompiled_charsmap is damaged')
  }
  const units = Uint32Array.from({ length: size / 4 }, (_, index) =>
    bytes.readUInt32LE(4 + index * 4),
  )
  return { units, replacements: bytes.subarray(4 + size), known: new Map() }
}

/**
 * As in the Rust tokenizers: a short grapheme is looked up as a whole, then its characters. An
 * entry also counts if it is only the beginning of what is looked up.
 */
function normalize(text: AlignedText, table: Table): AlignedText {
  const built = new TextBuilder()
  let at = 0
  for (const { segment } of segmenter.segment(text.chars.join(''))) {
    const chars = Array.from(segment)
    const isShort = Buffer.byteLength(segment) < MAX_GRAPHEME_BYTES
    const whole = isShort ? lookUp(segment, table) : undefined
    if (whole === undefined) {
      for (const [index, char] of chars.entries()) {
        built.add(lookUp(char, table) ?? char, text, at + index)
      }
    } else {
      for (const [index, char] of Array.from(whole).entries()) {
        built.add(char, text, at + Math.min(index, chars.length - 1))
      }
    }
    at += chars.length
  }
  return built
}

/** Results are kept only for single characters, of which there are few. */
function lookUp(key: string, table: Table): string | undefined {
  if (table.known.has(key)) return table.known.get(key)
  const found = search(Buffer.from(key), table)
  if (table.known.size < 10_000) table.known.set(key, found)
  return found
}

/** Returns the replacement of the shortest entry at the start of `key`. */
function search(key: Buffer, { units, replacements }: Table): string | undefined {
  let node = 0
  let unit = units[0] ?? 0
  node ^= offsetOf(unit)
  for (const byte of key) {
    if (byte === 0) return undefined
    node ^= byte
    unit = units[node] ?? 0
    if ((unit & 0x8000_00ff) >>> 0 !== byte) return undefined
    node ^= offsetOf(unit)
    if (((unit >>> 8) & 1) === 1) {
      const start = (units[node] ?? 0) & 0x7fff_ffff
      const end = replacements.indexOf(0, start)
      return replacements.toString('utf8', start, end < 0 ? replacements.length : end)
    }
  }
  return undefined
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & (1 << 9)) >>> 6)
}
