/**
 * Token classification: names, places and other spans of a text. Tokens are joined to words and
 * spans as in the pipelines of Hugging Face.
 */
import type { RunModel } from '../onnx/codec.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Encoded } from './encoder.ts'
import { readTexts } from './requests/text-request.ts'
import type { TextRequest } from './requests/text-request.ts'
import { highest, short, softmax } from './scores.ts'
import type { Row } from './text-runs.ts'
import { encodeAll, maxTextsOf, outputFor } from './text-task.ts'
import type { TaskModel, TextTask } from './text-task.ts'
import type { TokenSequence } from './tokenizer/tokenizer.ts'

export const AGGREGATIONS = ['none', 'simple', 'first', 'average', 'max'] as const
type Aggregation = (typeof AGGREGATIONS)[number]
const OUTSIDE: readonly string[] = ['O']
/** `B-PER`, and the other prefixes of BIO, BIOES and BILOU. */
const TAG = /^([BIESLU])-(.*)$/s

/** A token or a word with the scores of all labels. */
interface Scored {
  /** Its tokens as text; an unknown token is the text itself. */
  readonly words: readonly string[]
  readonly scores: Float64Array
  readonly start: number
  readonly end: number
  /** Position of the token in the input of the model. */
  readonly index: number
  /** Whether it continues the word before it. */
  readonly continues: boolean
}

export class TokenClassificationTask implements TextTask {
  readonly #model: TaskModel
  readonly #output: TensorSpec

  constructor(model: TaskModel) {
    this.#model = model
    this.#output = outputFor(model.outputs, ['logits'], 3)
  }

  async answer({ inputs, parameters }: TextRequest, run: RunModel): Promise<unknown> {
    const { texts, isSingle } = readTexts(inputs, maxTextsOf(this.#model))
    const aggregation =
      parameters.choice('aggregation_strategy', AGGREGATIONS) ??
      parameters.choice('aggregation', AGGREGATIONS) ??
      'simple'
    const ignored = parameters.texts('ignore_labels') ?? OUTSIDE
    const encoded = encodeAll(this.#model, texts, parameters)
    parameters.end()
    const results: unknown[] = []
    await this.#model.runs.run({
      texts: encoded,
      outputs: [this.#output],
      model: run,
      work: parameters.work,
      visit: (index, [row]) => {
        const [own, input] = [encoded[index], texts[index]]
        if (row === undefined || own === undefined || input === undefined) return
        const tokens = this.#tokens(own, row, input.text)
        results[index] = this.#entities(tokens, aggregation, input.text)
          .filter(({ label }) => !ignored.includes(label))
          .map(({ shown }) => shown)
      },
    })
    return isSingle ? results[0] : results
  }

  /** The tokens of the text itself. */
  #tokens(encoded: Encoded, { data, width }: Row, text: string): readonly Scored[] {
    const { encoder } = this.#model
    const { tokenizer } = encoder
    const sequence = encoder.tokens(text)
    const chars = Array.from(text)
    return encoded.ids.flatMap((id, index): Scored[] => {
      if (encoded.sequences[index] !== 0) return []
      const place = encoded.indices[index] ?? 0
      const [start, end] = rangeOf(sequence, place)
      return [
        {
          words: [
            id === tokenizer.unknownId ? chars.slice(start, end).join('') : tokenizer.tokenOf(id),
          ],
          scores: softmax(data.subarray(index * width, (index + 1) * width)),
          start,
          end,
          index,
          continues: this.#continues(id, index, chars, start, end),
        },
      ]
    })
  }

  /** A tokenizer without a prefix for such tokens leaves only the spaces of the text to decide. */
  #continues(
    id: number,
    index: number,
    chars: readonly string[],
    start: number,
    end: number,
  ): boolean {
    const { tokenizer } = this.#model.encoder
    if (id === tokenizer.unknownId) return false
    if (tokenizer.continuingPrefix !== '') {
      return Array.from(tokenizer.tokenOf(id)).length !== end - start
    }
    return start > 0 && index > 0 && !chars.slice(start - 1, start + 1).includes(' ')
  }

  #entities(
    tokens: readonly Scored[],
    aggregation: Aggregation,
    text: string,
  ): readonly Labelled[] {
    if (aggregation === 'none') {
      return tokens.map(({ words, scores, start, end, index }) => {
        const best = highest(scores, 1)[0] ?? 0
        const label = this.#label(best)
        const [word = ''] = words
        const score = short(scores[best] ?? 0)
        return { label, shown: { entity: label, score, index, word, start, end } }
      })
    }
    const words = aggregation === 'simple' ? tokens : this.#words(tokens, aggregation)
    return this.#spans(words, text)
  }

  #words(
    tokens: readonly Scored[],
    aggregation: Exclude<Aggregation, 'none' | 'simple'>,
  ): readonly Scored[] {
    const words: Scored[][] = []
    for (const token of tokens) {
      if (token.continues && words.length > 0) words.at(-1)?.push(token)
      else words.push([token])
    }
    return words.flatMap((parts): Scored[] => {
      const [first] = parts
      if (first === undefined) return []
      const own = parts.flatMap((part) => part.words)
      return [
        { ...first, words: own, scores: joined(parts, aggregation), end: parts.at(-1)?.end ?? 0 },
      ]
    })
  }

  #spans(words: readonly Scored[], text: string): readonly Labelled[] {
    const groups: { tag: string; isOver: boolean; scores: number[]; words: Scored[] }[] = []
    for (const word of words) {
      const best = highest(word.scores, 1)[0] ?? 0
      const [, prefix = 'I', name] = TAG.exec(this.#label(best)) ?? []
      const tag = name ?? this.#label(best)
      const score = word.scores[best] ?? 0
      const last = groups.at(-1)
      const begins = prefix === 'B' || prefix === 'S' || prefix === 'U'
      if (last === undefined || last.tag !== tag || last.isOver || begins) {
        groups.push({ tag, isOver: closes(prefix), scores: [score], words: [word] })
      } else {
        last.scores.push(score)
        last.words.push(word)
        last.isOver = closes(prefix)
      }
    }
    const chars = Array.from(text)
    return groups.map(({ tag, scores, words: own }) => {
      const start = own[0]?.start ?? 0
      const end = own.at(-1)?.end ?? 0
      return {
        label: tag,
        shown: {
          entity_group: tag,
          score: short(scores.reduce((sum, score) => sum + score, 0) / scores.length),
          word: this.#model.encoder.tokenizer.decodeTokens(own.flatMap((one) => one.words)),
          text: chars.slice(start, end).join(''),
          start,
          end,
        },
      }
    })
  }

  #label(index: number): string {
    return this.#model.labels[index] ?? `LABEL_${index}`
  }
}

/** A token or span of a response, and its label. */
interface Labelled {
  readonly label: string
  readonly shown: Readonly<Record<string, string | number>>
}

function closes(prefix: string): boolean {
  return prefix === 'E' || prefix === 'L' || prefix === 'S' || prefix === 'U'
}

function rangeOf({ starts, ends }: TokenSequence, place: number): readonly [number, number] {
  return [starts[place] ?? 0, ends[place] ?? 0]
}

/** The scores of a word from those of its tokens. */
function joined(
  parts: readonly Scored[],
  aggregation: Exclude<Aggregation, 'none' | 'simple'>,
): Float64Array {
  const [first] = parts
  const scores = first?.scores ?? new Float64Array()
  if (aggregation === 'first') return scores
  if (aggregation === 'average') {
    return scores.map(
      (_, label) => parts.reduce((sum, part) => sum + (part.scores[label] ?? 0), 0) / parts.length,
    )
  }
  const best = highest(
    parts.map((part) => part.scores.reduce((most, score) => Math.max(most, score), 0)),
    1,
  )
  return parts[best[0] ?? 0]?.scores ?? scores
}
