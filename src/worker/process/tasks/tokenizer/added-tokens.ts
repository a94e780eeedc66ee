/** Added tokens of `tokenizer.json`: they are found in the text before anything else. */
import { messageOf } from '../../../../errors.ts'
import { fieldsOf, listOf, textOf } from '../json-fields.ts'
import { alignedText, slice } from './aligned-text.ts'
import type { AlignedText, Span } from './aligned-text.ts'
import type { Normalizer } from './normalizers.ts'
import { checkedId } from './subwords.ts'
import { malformed } from './unsupported.ts'

const WORD_END = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]$/u
const WORD_START = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u
const SPACE = /^\p{White_Space}$/u
/** Of one added token. Those of known models have less than 100. */
const MAX_CHARS = 1000

export interface AddedToken {
  readonly content: string
  readonly id: number
  readonly special: boolean
  readonly normalized: boolean
  readonly singleWord: boolean
  readonly stripsLeft: boolean
  readonly stripsRight: boolean
}

/** @throws ServerError `InvalidModelException` */
export function readAddedTokens(value: unknown): readonly AddedToken[] {
  return listOf(value).map((entry) => {
    const fields = fieldsOf(entry)
    const content = textOf(fields['content']) ?? ''
    const special = fields['special'] === true
    return {
      content,
      id: checkedId(content, fields['id']),
      special,
      normalized: typeof fields['normalized'] === 'boolean' ? fields['normalized'] : !special,
      singleWord: fields['single_word'] === true,
      stripsLeft: fields['lstrip'] === true,
      stripsRight: fields['rstrip'] === true,
    }
  })
}

/** A part of a text: an added token, or text without any. */
export interface Part {
  readonly text: AlignedText
  readonly id: number | undefined
}

/** Finds the tokens of one kind: those for the original text, or those for the normalized text. */
export class AddedTokenFinder {
  readonly #tokens = new Map<string, AddedToken>()
  /** Numbers of characters of the tokens that begin with a character, the largest first. */
  readonly #lengths = new Map<string, number[]>()

  /** @param normalize Changes the tokens as it changes the text in which they are found. */
  constructor(tokens: readonly AddedToken[], normalize: Normalizer) {
    for (const token of tokens) {
      const { chars } = normalized(token.content, normalize)
      if (chars.length > MAX_CHARS)
        throw malformed(`an added token has more than ${MAX_CHARS} characters`)
      const [first] = chars
      const content = chars.join('')
      if (first === undefined || this.#tokens.has(content)) continue
      this.#tokens.set(content, token)
      const lengths = this.#lengths.get(first) ?? []
      if (!lengths.includes(chars.length)) lengths.push(chars.length)
      this.#lengths.set(first, lengths)
    }
    for (const lengths of this.#lengths.values()) lengths.sort((one, other) => other - one)
  }

  split(text: AlignedText): readonly Part[] {
    if (this.#tokens.size === 0 || text.chars.length === 0) return [{ text, id: undefined }]
    const parts: Part[] = []
    let next = 0
    const add = (start: number, end: number, id?: number): void => {
      if (end > start) parts.push({ text: slice(text, { start, end }), id })
    }
    for (const span of this.#matchesIn(text)) {
      let { start, end } = span
      const token = this.#tokens.get(text.chars.slice(start, end).join(''))
      if (token === undefined || start < next) continue
      if (token.singleWord && isInWord(text, start, end)) continue
      while (token.stripsLeft && start > next && SPACE.test(text.chars[start - 1] ?? '')) start--
      while (token.stripsRight && SPACE.test(text.chars[end] ?? '')) end++
      add(next, start)
      add(start, end, token.id)
      next = end
    }
    add(next, text.chars.length)
    return parts
  }

  /**
   * The longest of those that start at one place is taken. An expression of all tokens would be
   * simpler, but with thousands of tokens its compilation takes seconds.
   */
  *#matchesIn({ chars }: AlignedText): Generator<Span> {
    for (let start = 0; start < chars.length; start++) {
      for (const length of this.#lengths.get(chars[start] ?? '') ?? []) {
        const end = start + length
        if (end > chars.length || !this.#tokens.has(chars.slice(start, end).join(''))) continue
        yield { start, end }
        start = end - 1
        break
      }
    }
  }
}

/** @throws ServerError `InvalidModelException` for a normalizer that makes texts ever longer. */
function normalized(content: string, normalize: Normalizer): AlignedText {
  try {
    return normalize(alignedText(content))
  } catch (error) {
    throw malformed(`the normalizer fails for an added token: ${messageOf(error, 200)}`)
  }
}

function isInWord({ chars }: AlignedText, start: number, end: number): boolean {
  return WORD_END.test(chars[start - 1] ?? '') || WORD_START.test(chars[end] ?? '')
}
