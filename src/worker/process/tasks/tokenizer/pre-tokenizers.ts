/** Pre-tokenizers of `tokenizer.json`: they split a text into words. */
import { fieldsOf, flagOf, listOf, textOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
import { mapChars, matchesIn, prepend, slice } from './aligned-text.ts'
import type { AlignedText, Span } from './aligned-text.ts'
import { toByteChars } from './byte-level.ts'
import { patternOf } from './patterns.ts'
import { malformed, unsupported } from './unsupported.ts'

/** Splits a text. */
export type PreTokenizer = (text: AlignedText) => readonly AlignedText[]

const SPACES = /\p{White_Space}/gu
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu
const WORDS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu
const DIGITS = /\p{N}/gu
/** The expression of GPT-2. */
const BYTE_LEVEL =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

/** @throws ServerError `InvalidModelException` for a pre-tokenizer that is not supported. */
export function createPreTokenizer(value: unknown): PreTokenizer {
  if (value === null || value === undefined) return (text) => [text]
  const config = fieldsOf(value)
  const type = textOf(config['type']) ?? ''
  switch (type) {
    case 'Sequence':
      return sequenceOf(listOf(config['pretokenizers']).map(createPreTokenizer))
    case 'BertPreTokenizer':
      return sequenceOf([splitting(SPACES, 'Removed'), splitting(PUNCTUATION, 'Isolated')])
    case 'Whitespace':
      return splitting(WORDS, 'Removed', true)
    case 'WhitespaceSplit':
      return splitting(SPACES, 'Removed')
    case 'Punctuation':
      return splitting(PUNCTUATION, textOf(config['behavior']) ?? 'Isolated')
    case 'Digits':
      return splitting(DIGITS, config['individual_digits'] === true ? 'Isolated' : 'Contiguous')
    case 'CharDelimiterSplit':
      return splitting(patternOf(config['delimiter']), 'Removed')
    case 'Split':
      return splitting(
        patternOf(config['pattern']),
        textOf(config['behavior']) ?? '',
        config['invert'] === true,
      )
    case 'ByteLevel':
      return byteLevel(config)
    case 'Metaspace':
      return metaspace(config)
    default:
      throw unsupported(`the pre-tokenizer ${JSON.stringify(type)}`)
  }
}

function sequenceOf(steps: readonly PreTokenizer[]): PreTokenizer {
  return (text) => steps.reduce((parts, step) => parts.flatMap(step), [text])
}

function byteLevel(config: Fields): PreTokenizer {
  const addsSpace = flagOf(config['add_prefix_space']) ?? true
  const split =
    (flagOf(config['use_regex']) ?? true)
      ? splitting(BYTE_LEVEL, 'Isolated')
      : (text: AlignedText) => [text]
  return (text) =>
    split(addsSpace && text.chars[0] !== ' ' ? prepend(text, ' ') : text).map((part) =>
      mapChars(part, toByteChars),
    )
}

function metaspace(config: Fields): PreTokenizer {
  const mark = textOf(config['replacement']) ?? '▁'
  const asFlag = config['add_prefix_space'] === false ? 'never' : 'always'
  const scheme = textOf(config['prepend_scheme']) ?? asFlag
  if (!['always', 'first', 'never'].includes(scheme)) throw malformed('an unknown prepend_scheme')
  const splits = flagOf(config['split']) ?? true
  const expression = patternOf(mark)
  return (text) => {
    const marked = mapChars(text, (char) => (char === ' ' ? mark : char))
    const isAtStart = scheme === 'always' || (scheme === 'first' && marked.starts[0] === 0)
    const whole = isAtStart && marked.chars[0] !== mark ? prepend(marked, mark) : marked
    return splits ? splitting(expression, 'MergedWithNext')(whole) : [whole]
  }
}

/** Splits at the matches of an expression; `inverts` swaps matches and the text between them. */
function splitting(expression: RegExp, behavior: string, inverts = false): PreTokenizer {
  const join = JOINS[behavior]
  if (join === undefined) throw unsupported(`the split behavior ${JSON.stringify(behavior)}`)
  return (text) => {
    const pieces: Piece[] = []
    let next = 0
    const add = (start: number, end: number, isMatch: boolean): void => {
      if (end > start) pieces.push({ start, end, isMatch: isMatch !== inverts })
    }
    for (const { start, end } of matchesIn(text, expression)) {
      add(next, start, false)
      add(start, end, true)
      next = end
    }
    add(next, text.chars.length, false)
    return join(pieces).map((piece) => slice(text, piece))
  }
}

interface Piece extends Span {
  readonly isMatch: boolean
}

/** What happens to the matches of a split. */
const JOINS: Readonly<Record<string, (pieces: readonly Piece[]) => readonly Span[]>> = {
  Removed: (pieces) => pieces.filter(({ isMatch }) => !isMatch),
  Isolated: (pieces) => pieces,
  Contiguous: (pieces) => merge(pieces, (before, piece) => before.isMatch === piece.isMatch),
  MergedWithPrevious: (pieces) =>
    merge(pieces, (before, piece) => piece.isMatch && !before.isMatch),
  MergedWithNext: (pieces) => merge(pieces, (before, piece) => before.isMatch && !piece.isMatch),
}

function merge(
  pieces: readonly Piece[],
  joins: (before: Piece, piece: Piece) => boolean,
): readonly Span[] {
  const merged: Span[] = []
  for (const [index, piece] of pieces.entries()) {
    const before = pieces[index - 1]
    const last = merged.at(-1)
    if (before !== undefined && last !== undefined && joins(before, piece)) {
      merged[merged.length - 1] = { start: last.start, end: piece.end }
    } else merged.push(piece)
  }
  return merged
}
