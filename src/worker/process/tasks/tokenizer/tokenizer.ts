/**
 * Converts texts to token ids with the rules of a `tokenizer.json`, and keeps for each token the
 * range of the text that it stands for. Ids and ranges are those of the Rust tokenizers.
 */
import { fieldsOf, hasMoreLevels, numberOf, textOf } from '../json-fields.ts'
import { AddedTokenFinder, readAddedTokens } from './added-tokens.ts'
import type { AddedToken } from './added-tokens.ts'
import { alignedText } from './aligned-text.ts'
import type { AlignedText } from './aligned-text.ts'
import { SPACE_CHAR } from './byte-level.ts'
import { createDecoder } from './decoder.ts'
import { createNormalizer } from './normalizers.ts'
import type { Normalizer } from './normalizers.ts'
import { createPreTokenizer } from './pre-tokenizers.ts'
import type { PreTokenizer } from './pre-tokenizers.ts'
import { createSubwords } from './subwords.ts'
import type { Subwords } from './subwords.ts'
import { createTemplate } from './template.ts'
import type { Template, TemplateItem, Trimming } from './template.ts'
import { malformed } from './unsupported.ts'

/** The tokens of one text, without special tokens of a template. */
export interface TokenSequence {
  readonly ids: readonly number[]
  /** For each token, its range in the text, in code points. */
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  /** For each token, the number of its word. */
  readonly words: readonly number[]
}

/** Settings of `tokenizer.json` for several texts at once. */
export interface TokenizerDefaults {
  readonly padId: number | undefined
  readonly padsLeft: boolean
  readonly truncatesLeft: boolean
}

/** Parts that consist of parts. */
const NESTED_PARTS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder']
/** Against hostile files, which would exhaust the stack. */
const MAX_LEVELS = 50

export class Tokenizer {
  readonly defaults: TokenizerDefaults
  readonly #normalize: Normalizer
  readonly #split: PreTokenizer
  readonly #subwords: Subwords
  readonly #template: Template
  readonly #added: readonly AddedToken[]
  readonly #original: AddedTokenFinder
  readonly #normalized: AddedTokenFinder
  readonly #tokens = new Map<number, string>()
  readonly #ids: ReadonlyMap<string, number>
  readonly #decode: (tokens: readonly string[]) => string

  /**
   * @param file The parsed `tokenizer.json`.
   * @throws ServerError `InvalidModelException` that names what is not supported.
   */
  constructor(file: unknown) {
    const fields = fieldsOf(file)
    for (const part of NESTED_PARTS) {
      if (hasMoreLevels(fields[part], MAX_LEVELS))
        throw malformed(`its ${part} has too many levels`)
    }
    this.#normalize = createNormalizer(fields['normalizer'])
    this.#split = createPreTokenizer(fields['pre_tokenizer'])
    this.#subwords = createSubwords(fields['model'])
    this.#template = createTemplate(fields['post_processor'])
    this.#decode = createDecoder(fields['decoder'])
    this.#added = readAddedTokens(fields['added_tokens'])
    const plain = this.#added.filter(({ normalized }) => !normalized)
    const changed = this.#added.filter(({ normalized }) => normalized)
    this.#original = new AddedTokenFinder(plain, (text) => text)
    this.#normalized = new AddedTokenFinder(changed, this.#normalize)
    const ids = new Map(this.#subwords.ids)
    for (const { content, id } of this.#added) ids.set(content, id)
    for (const [token, id] of ids) this.#tokens.set(id, token)
    this.#ids = ids
    const padding = fieldsOf(fields['padding'])
    this.defaults = {
      padId: numberOf(padding['pad_id']),
      padsLeft: textOf(padding['direction']) === 'Left',
      truncatesLeft: textOf(fieldsOf(fields['truncation'])['direction']) === 'Left',
    }
  }

  get unknownId(): number | undefined {
    return this.#subwords.unknownId
  }

  /** Prefix of tokens that continue a word; empty if there is none. */
  get continuingPrefix(): string {
    return this.#subwords.continuingPrefix
  }

  idOf(token: string): number | undefined {
    return this.#ids.get(token)
  }

  hasId(id: number): boolean {
    return this.#tokens.has(id)
  }

  tokenOf(id: number): string {
    return this.#tokens.get(id) ?? ''
  }

  isSpecial(id: number): boolean {
    return this.#added.some((token) => token.id === id && token.special)
  }

  templateFor(isPair: boolean): readonly TemplateItem[] {
    return isPair ? this.#template.pair : this.#template.single
  }

  /** Returns the text of tokens. Ids that are not in the vocabulary are left out. */
  decode(ids: readonly number[]): string {
    return this.decodeTokens(ids.flatMap((id) => this.#tokens.get(id) ?? []))
  }

  /** Returns the text of tokens that are given as text. */
  decodeTokens(tokens: readonly string[]): string {
    return this.#decode(tokens)
  }

  encode(text: string): TokenSequence {
    const sequence: Sequence = {
      ids: [],
      starts: [],
      ends: [],
      words: [],
      word: 0,
      texts: new Map(),
    }
    for (const part of this.#original.split(alignedText(text))) {
      const parts =
        part.id === undefined ? this.#normalized.split(this.#normalize(part.text)) : [part]
      for (const { text: own, id } of parts) {
        if (id === undefined) this.#addText(sequence, own)
        else {
          sequence.texts.set(sequence.ids.length, own.chars)
          addToken(sequence, id, own, 0, own.chars.length)
          sequence.word += 1
        }
      }
    }
    const { trimming } = this.#template
    return trimming === undefined ? sequence : this.#trimmed(sequence, trimming)
  }

  #addText(sequence: Sequence, text: AlignedText): void {
    for (const word of this.#split(text)) {
      if (word.chars.length === 0) continue
      let start = 0
      for (const { id, length } of this.#subwords.split(word.chars)) {
        // Bytes that stand for one character all have its range.
        const end = start + Math.max(length, 1)
        if (id >= 0) addToken(sequence, id, word, start, end)
        else if (id === FUSED) sequence.ends[sequence.ends.length - 1] = word.ends[end - 1] ?? 0
        start += length
      }
      sequence.word += 1
    }
  }

  #trimmed(
    { ids, starts, ends, words, texts }: Sequence,
    { addsPrefixSpace }: Trimming,
  ): TokenSequence {
    for (const [index, id] of ids.entries()) {
      const chars = texts.get(index) ?? Array.from(this.tokenOf(id))
      let leading = 0
      while (leading < chars.length && isSpace(chars[leading] ?? '')) leading++
      let trailing = 0
      while (trailing < chars.length && isSpace(chars.at(-1 - trailing) ?? '')) trailing++
      const start = starts[index] ?? 0
      const end = ends[index] ?? 0
      if (leading > 0) {
        const isFirst = index === 0 || start === 0
        const own = isFirst && addsPrefixSpace ? leading - 1 : leading
        starts[index] = Math.min(start + own, end)
      }
      if (trailing > 0 && end >= trailing) {
        ends[index] = Math.max(end - trailing, starts[index] ?? 0)
      }
    }
    return { ids, starts, ends, words }
  }
}

/** The id of a character that is part of the unknown token before it. */
const FUSED = -2

interface Sequence extends TokenSequence {
  readonly ids: number[]
  readonly starts: number[]
  readonly ends: number[]
  readonly words: number[]
  /** Number of the next word. */
  word: number
  /** The texts of added tokens by their index: they may have spaces around. */
  readonly texts: Map<number, readonly string[]>
}

function addToken(
  { ids, starts, ends, words, word }: Sequence,
  id: number,
  text: AlignedText,
  start: number,
  end: number,
): void {
  ids.push(id)
  words.push(word)
  starts.push(text.starts[start] ?? 0)
  ends.push(text.ends[end - 1] ?? 0)
}

function isSpace(char: string): boolean {
  return char === SPACE_CHAR || /^\p{White_Space}$/u.test(char)
}
