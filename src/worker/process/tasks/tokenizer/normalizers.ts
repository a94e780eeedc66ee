/** Normalizers of `tokenizer.json`: they clean a text before it is split. */
import { fieldsOf, flagOf, listOf, textOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
import { TextBuilder, mapChars, matchesIn, prepend, slice } from './aligned-text.ts'
import type { AlignedText } from './aligned-text.ts'
import { patternOf } from './patterns.ts'
import { precompiledNormalizer } from './precompiled.ts'
import { normalizeForm } from './unicode-forms.ts'
import { malformed, unsupported } from './unsupported.ts'

export type Normalizer = (text: AlignedText) => AlignedText

const SPACE = /^\p{White_Space}$/u
const CONTROL = /^(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\ufffd]$/u
const NONSPACING = /^\p{Mn}$/u
const MARK = /^\p{M}$/u
/** The blocks of Chinese characters of BERT. */
const CHINESE =
  /^[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]$/u

/** @throws ServerError `InvalidModelException` for a normalizer that is not supported. */
export function createNormalizer(value: unknown): Normalizer {
  if (value === null || value === undefined) return (text) => text
  const config = fieldsOf(value)
  const type = textOf(config['type']) ?? ''
  switch (type) {
    case 'Sequence':
      return sequenceOf(listOf(config['normalizers']).map(createNormalizer))
    case 'BertNormalizer':
      return bertNormalizer(config)
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => normalizeForm(text, type)
    case 'Lowercase':
      return lowercase
    case 'StripAccents':
      return (text) => mapChars(text, (char) => (MARK.test(char) ? '' : char))
    case 'Strip':
      return (text) =>
        strip(text, flagOf(config['strip_left']) ?? true, flagOf(config['strip_right']) ?? true)
    case 'Prepend': {
      const prefix = textOf(config['prepend']) ?? ''
      return (text) => prepend(text, prefix)
    }
    case 'Replace':
      return replacement(config)
    case 'Precompiled':
      return precompiledNormalizer(textOf(config['precompiled_charsmap']) ?? '')
    default:
      throw unsupported(`the normalizer ${JSON.stringify(type)}`)
  }
}

function sequenceOf(steps: readonly Normalizer[]): Normalizer {
  return (text) => steps.reduce((changed, step) => step(changed), text)
}

/** One character after the other, as Rust does: `toLowerCase` of a text knows the final sigma. */
function lowercase(text: AlignedText): AlignedText {
  return mapChars(text, (char) => char.toLowerCase())
}

function bertNormalizer(config: Fields): Normalizer {
  const lower = flagOf(config['lowercase']) ?? true
  const steps: Normalizer[] = []
  if (flagOf(config['clean_text']) ?? true) steps.push((text) => mapChars(text, cleaned))
  if (flagOf(config['handle_chinese_chars']) ?? true) {
    steps.push((text) => mapChars(text, (char) => (isChinese(char) ? ` ${char} ` : char)))
  }
  if (flagOf(config['strip_accents']) ?? lower) {
    steps.push((text) =>
      mapChars(normalizeForm(text, 'NFD'), (char) => (isNonspacing(char) ? '' : char)),
    )
  }
  if (lower) steps.push(lowercase)
  return sequenceOf(steps)
}

function cleaned(char: string): string {
  // Most characters are letters of ASCII.
  if (char > ' ' && char < '\u007f') return char
  if (CONTROL.test(char)) return ''
  return SPACE.test(char) ? ' ' : char
}

function isChinese(char: string): boolean {
  return char >= '\u3400' && CHINESE.test(char)
}

function isNonspacing(char: string): boolean {
  return char >= '\u0300' && NONSPACING.test(char)
}

function strip(text: AlignedText, left: boolean, right: boolean): AlignedText {
  let start = 0
  let end = text.chars.length
  while (left && start < end && SPACE.test(text.chars[start] ?? '')) start++
  while (right && end > start && SPACE.test(text.chars[end - 1] ?? '')) end--
  return slice(text, { start, end })
}

function replacement(config: Fields): Normalizer {
  const expression = patternOf(config['pattern'])
  const content = textOf(config['content'])
  if (content === undefined) throw malformed('a Replace normalizer has no content')
  return (text) => {
    const built = new TextBuilder()
    let next = 0
    for (const { start, end } of matchesIn(text, expression)) {
      for (; next < start; next++) built.add(text.chars[next] ?? '', text, next)
      built.add(content, text, Math.max(end - 1, 0))
      next = Math.max(next, end)
    }
    for (; next < text.chars.length; next++) built.add(text.chars[next] ?? '', text, next)
    return built
  }
}
