import { fieldsOf, flagOf, isFields, listOf, numberOf, textOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
/** Splits words into the tokens of the vocabulary. The algorithms are those of the library. */
import { BPE, Unigram, WordPiece } from './library.ts'
import { malformed, unsupported } from './unsupported.ts'

/** A token of a word, and the number of the word's characters that it stands for. */
export interface Subword {
  readonly id: number
  readonly length: number
}

/** The model of a tokenizer: a vocabulary and the way to split a word. */
export interface Subwords {
  readonly ids: ReadonlyMap<string, number>
  readonly unknownId: number | undefined
  /** Prefix of tokens that continue a word; empty if there is none. */
  readonly continuingPrefix: string
  split(word: readonly string[]): readonly Subword[]
}

const MAX_ID = 2 ** 31 - 1

/** @throws ServerError `InvalidModelException` for a model that is not supported. */
export function createSubwords(value: unknown): Subwords {
  const config = fieldsOf(value)
  switch (typeOf(config)) {
    case 'WordPiece':
      return wordPiece(config)
    case 'BPE':
      return bpe(config)
    case 'Unigram':
      return unigram(config)
    case 'WordLevel':
      return wordLevel(config)
    default:
      throw unsupported(`the model ${JSON.stringify(config['type'] ?? null)}`)
  }
}

/** Older files have no `type`. */
function typeOf(config: Fields): string {
  const { type, vocab, merges } = config
  if (typeof type === 'string') return type
  if (Array.isArray(vocab)) return 'Unigram'
  if (Array.isArray(merges)) return 'BPE'
  return 'continuing_subword_prefix' in config ? 'WordPiece' : 'WordLevel'
}

function vocabularyOf({ vocab }: Fields): Map<string, number> {
  if (!isFields(vocab)) throw malformed('the model has no vocabulary')
  const ids = new Map<string, number>()
  for (const [token, id] of Object.entries(vocab)) ids.set(token, checkedId(token, id))
  return ids
}

/** @throws ServerError `InvalidModelException` for what is not the id of a token. */
export function checkedId(token: string, id: unknown): number {
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id
  throw malformed(`the token ${JSON.stringify(token.slice(0, 50))} has no valid id`)
}

function wordPiece(config: Fields): Subwords {
  const ids = vocabularyOf(config)
  const unknown = textOf(config['unk_token']) ?? '[UNK]'
  const unknownId = ids.get(unknown)
  if (unknownId === undefined) throw malformed('unk_token is not in the vocabulary')
  const continuingPrefix = textOf(config['continuing_subword_prefix']) ?? '##'
  const model = new WordPiece({
    type: 'WordPiece',
    unk_token: unknown,
    vocab: Object.fromEntries(ids),
    continuing_subword_prefix: continuingPrefix,
    max_input_chars_per_word: numberOf(config['max_input_chars_per_word']) ?? 100,
  })
  const prefixLength = Array.from(continuingPrefix).length
  return {
    ids,
    unknownId,
    continuingPrefix,
    split: (word) => {
      const tokens = model.encode([word.join('')])
      // The whole word is unknown if any part of it is.
      if (tokens.length === 1 && tokens[0] === unknown)
        return [{ id: unknownId, length: word.length }]
      return tokens.map((token, index) => ({
        id: ids.get(token) ?? unknownId,
        length: Array.from(token).length - (index > 0 ? prefixLength : 0),
      }))
    },
  }
}

function wordLevel(config: Fields): Subwords {
  const ids = vocabularyOf(config)
  const unknownId = ids.get(textOf(config['unk_token']) ?? '<unk>')
  return {
    ids,
    unknownId,
    continuingPrefix: '',
    split: (word) => {
      const id = ids.get(word.join('')) ?? unknownId
      return id === undefined ? [] : [{ id, length: word.length }]
    },
  }
}

function unigram(config: Fields): Subwords {
  if (config['byte_fallback'] === true) throw unsupported('byte_fallback of a Unigram model')
  const entries = listOf(config['vocab']).map((entry): [string, number] => {
    const [token, score] = listOf(entry)
    if (typeof token === 'string' && typeof score === 'number') return [token, score]
    throw malformed('an entry of the vocabulary is not a token with a score')
  })
  const unknownId = numberOf(config['unk_id'])
  if (unknownId === undefined || entries[unknownId] === undefined) {
    throw unsupported('a Unigram model without unk_id')
  }
  const ids = new Map(entries.map(([token], index) => [token, index]))
  const model = new Unigram(
    { type: 'Unigram', vocab: entries, unk_id: unknownId, byte_fallback: false },
    '',
  )
  return {
    ids,
    unknownId,
    continuingPrefix: '',
    split: (word) =>
      // Neighbours that are unknown become one token.
      model([word.join('')]).map((token) => ({
        id: ids.get(token) ?? unknownId,
        length: Array.from(token).length,
      })),
  }
}

function bpe(config: Fields): Subwords {
  for (const name of ['dropout', 'continuing_subword_prefix']) {
    if (config[name]) throw unsupported(`${name} of a BPE model`)
  }
  const ids = vocabularyOf(config)
  const merges = listOf(config['merges']).map((merge): [string, string] => {
    const [left, right] = typeof merge === 'string' ? splitMerge(merge) : listOf(merge)
    if (typeof left === 'string' && typeof right === 'string') return [left, right]
    throw malformed('an entry of merges is not a pair of tokens')
  })
  const unknown = textOf(config['unk_token'])
  const suffix = textOf(config['end_of_word_suffix']) ?? ''
  const model = new BPE({
    type: 'BPE',
    vocab: Object.fromEntries(ids),
    merges,
    unk_token: unknown ?? '',
    ...(suffix === '' ? {} : { end_of_word_suffix: suffix }),
  })
  const unknownId = unknown === undefined ? undefined : ids.get(unknown)
  const rules = {
    ids,
    unknownId,
    fusesUnknown: flagOf(config['fuse_unk']) ?? false,
    hasByteFallback: flagOf(config['byte_fallback']) ?? false,
  }
  const ignoresMerges = flagOf(config['ignore_merges']) ?? false
  return {
    ids,
    unknownId,
    continuingPrefix: '',
    split: (word) => {
      const text = word.join('')
      const whole = ignoresMerges ? ids.get(text) : undefined
      if (whole !== undefined) return [{ id: whole, length: word.length }]
      const symbols = model.bpe(text)
      return symbols.flatMap((symbol, index) => {
        const isLast = index === symbols.length - 1
        const length = Array.from(symbol).length - (isLast ? Array.from(suffix).length : 0)
        const before = symbols[index - 1]
        return symbolTokens(symbol, length, rules, before !== undefined && !ids.has(before))
      })
    },
  }
}

function splitMerge(merge: string): readonly unknown[] {
  const space = merge.indexOf(' ')
  return space < 1 ? [] : [merge.slice(0, space), merge.slice(space + 1)]
}

interface SymbolRules {
  readonly ids: ReadonlyMap<string, number>
  readonly unknownId: number | undefined
  readonly fusesUnknown: boolean
  readonly hasByteFallback: boolean
}

/** The tokens of a symbol that may not be in the vocabulary. */
function symbolTokens(
  symbol: string,
  length: number,
  { ids, unknownId, fusesUnknown, hasByteFallback }: SymbolRules,
  followsUnknown: boolean,
): readonly Subword[] {
  const id = ids.get(symbol)
  if (id !== undefined) return [{ id, length }]
  if (hasByteFallback) {
    const bytes = Array.from(Buffer.from(symbol), (byte) =>
      ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    )
    if (bytes.every((byte) => byte !== undefined)) {
      // All bytes of a character stand for it, so only the last one moves on.
      return bytes.map((byte, index) => ({
        id: byte,
        length: index === bytes.length - 1 ? length : 0,
      }))
    }
  }
  if (unknownId === undefined) return [{ id: -1, length }]
  return fusesUnknown && followsUnknown ? [{ id: -2, length }] : [{ id: unknownId, length }]
}
