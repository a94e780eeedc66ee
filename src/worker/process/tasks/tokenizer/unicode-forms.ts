/** Unicode normalization forms and the characters of a text that they change together. */
import { TextBuilder } from './aligned-text.ts'
import type { AlignedText } from './aligned-text.ts'

export type UnicodeForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/** Characters that may join the one before them: marks, and vowels and finals of Hangul. */
const JOINS = /^[\p{M}\u1160-\u11ff\uff9e\uff9f]$/u
const ASCII_END = '\u007f'

/**
 * Normalizes a text. A character that several are composed to gets the range of the first of them.
 */
export function normalizeForm(text: AlignedText, form: UnicodeForm): AlignedText {
  const { chars } = text
  const built = new TextBuilder()
  for (let start = 0; start < chars.length;) {
    let end = start + 1
    while (end < chars.length && joins(chars[end] ?? '')) end++
    addCluster(built, text, start, end, form)
    start = end
  }
  return built
}

function joins(char: string): boolean {
  return char > ASCII_END && JOINS.test(char)
}

function addCluster(
  built: TextBuilder,
  text: AlignedText,
  start: number,
  end: number,
  form: UnicodeForm,
): void {
  const cluster = text.chars.slice(start, end)
  const joined = cluster.join('')
  const normalized = joined.normalize(form)
  if (normalized === joined) {
    for (const [index, char] of cluster.entries()) built.add(char, text, start + index)
    return
  }
  const decomposed: UnicodeForm = form.startsWith('NFK') ? 'NFKD' : 'NFD'
  // For each decomposed character, the character that it comes from.
  const sources = cluster.flatMap((char, index) =>
    Array.from(char.normalize(decomposed), () => start + index),
  )
  let next = 0
  for (const char of normalized) {
    built.add(char, text, sources[next] ?? end - 1)
    next += Array.from(char.normalize(decomposed)).length
  }
}
