/** Converts texts to the input tensors of a model, within the limits of the model. */
import { ServerError } from '../../../errors.ts'
import { quote } from '../onnx/tensors/error-text.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Tensor } from '../onnx/tensors/tensor.ts'
import { badRequest } from './requests/text-request.ts'
import type { TextInput } from './requests/text-request.ts'
import { invalid } from './text-folder.ts'
import type { Tokenizer, TokenSequence } from './tokenizer/tokenizer.ts'

/** Tokenising a longer text could take minutes; no model takes so many tokens. */
const MAX_CHARACTERS = 262_144
const INPUT_NAMES: readonly string[] = ['input_ids', 'attention_mask', 'token_type_ids']

/** One text or a pair, ready to run. */
export interface Encoded {
  readonly ids: readonly number[]
  readonly types: readonly number[]
  /** For each token, its text: 0 or 1; -1 for a special token of the template. */
  readonly sequences: readonly number[]
  /** For each token, its index in its text. */
  readonly indices: readonly number[]
}

/** Which text is cut. */
export type Cut = 'longest' | 'first' | 'none'

export interface EncoderLimits {
  readonly maxTokens: number
  readonly padId: number
}

export class Encoder {
  readonly tokenizer: Tokenizer
  readonly maxTokens: number
  readonly #padId: number
  readonly #inputs: readonly TensorSpec[]
  /** Number of tokens that each text must have; `undefined` for any number. */
  readonly fixedLength: number | undefined

  /** @throws ServerError `InvalidModelException` for an input that no tokenizer fills. */
  constructor(tokenizer: Tokenizer, inputs: readonly TensorSpec[], limits: EncoderLimits) {
    for (const { name, datatype, shape } of inputs) {
      const fits = datatype === 'INT64' || datatype === 'INT32'
      if (INPUT_NAMES.includes(name) && fits && shape.length === 2) continue
      throw invalid(
        `The model has the input ${quote(name)}, which texts do not fill. Set "task": "none" in model.json to serve its tensors.`,
      )
    }
    this.tokenizer = tokenizer
    this.#inputs = inputs
    const length = inputs[0]?.shape[1] ?? -1
    this.fixedLength = length > 0 ? length : undefined
    this.maxTokens = Math.min(limits.maxTokens, this.fixedLength ?? limits.maxTokens)
    this.#padId = limits.padId
  }

  /** Number of texts that each run must have; `undefined` for any number. */
  get fixedBatch(): number | undefined {
    const [rows = -1] = this.#inputs[0]?.shape ?? []
    return rows > 0 ? rows : undefined
  }

  /**
   * Splits a text into tokens.
   * @throws ServerError 400, or 413 for a text that is too long to be tokenised.
   */
  tokens(text: string): TokenSequence {
    if (/\p{Surrogate}/u.test(text)) {
      throw new ServerError('InvalidInputException', 'A text has half of a surrogate pair.')
    }
    if (text.length <= MAX_CHARACTERS) return this.tokenizer.encode(text)
    throw new ServerError(
      'PayloadTooLargeException',
      `A text has ${text.length} characters; the maximum is ${MAX_CHARACTERS}.`,
    )
  }

  /** Number of special tokens around one text or a pair. */
  specialCount(isPair: boolean): number {
    return this.tokenizer
      .templateFor(isPair)
      .reduce((sum, item) => sum + ('ids' in item ? item.ids.length : 0), 0)
  }

  /**
   * Encodes one text or a pair with the special tokens of the model.
   * @param cutsLeft Whether a text that is too long loses its beginning instead of its end.
   * @throws ServerError 413 with the number of tokens when it is too long and must not be cut.
   */
  encode(
    { text, pair, ids }: TextInput,
    cut: Cut,
    cutsLeft = this.tokenizer.defaults.truncatesLeft,
  ): Encoded {
    const first = ids === undefined ? this.tokens(text) : this.#given(text, ids)
    const second = pair === undefined ? undefined : this.tokens(pair)
    const special = this.specialCount(second !== undefined)
    const room = this.maxTokens - special
    const [one, other] = [first.ids.length, second?.ids.length ?? 0]
    if (one + other <= room) return this.join(first, second)
    if (cut === 'none' || (cut === 'first' && other >= room)) {
      const total = one + other + special
      throw new ServerError(
        'PayloadTooLargeException',
        `The text has ${total} tokens, but the model takes at most ${this.maxTokens}. Shorten it, or set "truncate": true to cut it.`,
      )
    }
    const lengths = cut === 'first' ? ([room - other, other] as const) : share(one, other, room)
    return this.join(
      cutTo(first, lengths[0], cutsLeft),
      second && cutTo(second, lengths[1], cutsLeft),
    )
  }

  /**
   * The tokens of a text, and then those that the request gives. If the request has put the special
   * tokens of the model around them, they are left out, because `join` adds them.
   */
  #given(text: string, ids: readonly number[]): TokenSequence {
    const unknown = ids.find((id) => !this.tokenizer.hasId(id))
    if (unknown !== undefined) throw badRequest(`The model has no token with the id ${unknown}.`)
    const template = this.tokenizer.templateFor(false)
    const place = template.findIndex((item) => !('ids' in item))
    const idsOf = (items: typeof template): readonly number[] =>
      items.flatMap((item) => ('ids' in item ? item.ids : []))
    const [before, after] = [idsOf(template.slice(0, place)), idsOf(template.slice(place + 1))]
    const isWhole =
      ids.length >= before.length + after.length &&
      before.every((id, index) => ids[index] === id) &&
      after.every((id, index) => ids[ids.length - after.length + index] === id)
    const own = isWhole ? ids.slice(before.length, ids.length - after.length) : ids
    const none = own.map(() => 0)
    const { ids: first, starts, ends, words } = this.tokens(text)
    return {
      ids: [...first, ...own],
      starts: [...starts, ...none],
      ends: [...ends, ...none],
      words: [...words, ...none],
    }
  }

  /** Puts special tokens around one text or a pair. */
  join(first: TokenSequence, second: TokenSequence | undefined): Encoded {
    const ids: number[] = []
    const types: number[] = []
    const sequences: number[] = []
    const indices: number[] = []
    for (const item of this.tokenizer.templateFor(second !== undefined)) {
      const isSpecial = 'ids' in item
      const own = isSpecial ? item.ids : ((item.sequence === 0 ? first : second)?.ids ?? [])
      for (const [index, id] of own.entries()) {
        ids.push(id)
        types.push(item.type)
        sequences.push(isSpecial ? -1 : item.sequence)
        indices.push(isSpecial ? -1 : index)
      }
    }
    return { ids, types, sequences, indices }
  }

  /** Builds the inputs of one run; shorter texts are padded on the right. */
  batch(texts: readonly Encoded[]): readonly Tensor[] {
    const longest = texts.reduce((length, { ids }) => Math.max(length, ids.length), 1)
    const length = this.fixedLength ?? longest
    const shape = [texts.length, length]
    return this.#inputs.map(({ name, datatype }): Tensor => {
      const values = new Int32Array(texts.length * length)
      if (name === 'input_ids') values.fill(this.#padId)
      for (const [row, { ids, types }] of texts.entries()) {
        const start = row * length
        if (name === 'attention_mask') values.fill(1, start, start + ids.length)
        else values.set(name === 'input_ids' ? ids : types, start)
      }
      return datatype === 'INT64'
        ? { datatype, shape, data: BigInt64Array.from(values, BigInt) }
        : { datatype: 'INT32', shape, data: values }
    })
  }
}

/** @param cutsLeft Whether the beginning of the text is removed instead of its end. */
function cutTo(
  { ids, starts, ends, words }: TokenSequence,
  length: number,
  cutsLeft: boolean,
): TokenSequence {
  const from = cutsLeft ? ids.length - length : 0
  const part = (list: readonly number[]): readonly number[] => list.slice(from, from + length)
  return { ids: part(ids), starts: part(starts), ends: part(ends), words: part(words) }
}

/** Cuts the longer text first, as the Rust tokenizers do. */
function share(one: number, other: number, room: number): readonly [number, number] {
  const [short, long] = one <= other ? [one, other] : [other, one]
  const kept = short > room ? short : Math.max(short, room - short)
  const [first, second] =
    short + Math.min(kept, long) > room
      ? [Math.floor(room / 2), Math.floor(room / 2) + (room % 2)]
      : [short, kept]
  return one <= other ? [first, second] : [second, first]
}
