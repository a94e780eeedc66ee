/** Extractive question answering: the span of a context that answers a question. */
import { ServerError } from '../../../errors.ts'
import type { RunModel } from '../onnx/codec.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Encoded } from './encoder.ts'
import { isFields, textOf } from './json-fields.ts'
import { badRequest, checkCount } from './requests/text-request.ts'
import type { Parameters, TextRequest, Work } from './requests/text-request.ts'
import { short } from './scores.ts'
import type { Row } from './text-runs.ts'
import { maxTextsOf, outputFor } from './text-task.ts'
import type { TaskModel, TextTask } from './text-task.ts'
import type { TokenSequence } from './tokenizer/tokenizer.ts'

const MAX_WINDOW = 384
const MAX_STRIDE = 128
const MAX_ANSWER = 15
const MAX_TOP_K = 100

interface Question {
  readonly question: string
  readonly context: string
}

interface Answer {
  readonly score: number
  readonly start: number
  readonly end: number
  readonly answer: string
}

/** A part of a context with the question before it. */
interface Window {
  readonly encoded: Encoded
  /** Its part of the context. */
  readonly context: TokenSequence
}

interface Rules {
  readonly topK: number
  readonly maxAnswer: number
  readonly mayBeNull: boolean
  readonly alignsToWords: boolean
}

export class QuestionAnsweringTask implements TextTask {
  readonly #model: TaskModel
  readonly #outputs: readonly TensorSpec[]

  constructor(model: TaskModel) {
    this.#model = model
    this.#outputs = ['start_logits', 'end_logits'].map((name) =>
      outputFor(
        model.outputs.filter((output) => output.name === name),
        [name],
        2,
      ),
    )
  }

  async answer({ inputs, parameters }: TextRequest, run: RunModel): Promise<unknown> {
    const { questions, isSingle } = questionsOf(inputs, parameters)
    checkCount(questions.length, maxTextsOf(this.#model))
    const most = this.#model.encoder.maxTokens
    const size = parameters.integer('max_seq_len', 8, most) ?? Math.min(most, MAX_WINDOW)
    const stride = parameters.integer('doc_stride', 0, most) ?? Math.min(size >> 1, MAX_STRIDE)
    const rules = {
      topK: parameters.integer('top_k', 1, MAX_TOP_K) ?? 1,
      maxAnswer: parameters.integer('max_answer_len', 1, 10_000) ?? MAX_ANSWER,
      mayBeNull: parameters.flag('handle_impossible_answer') ?? false,
      alignsToWords: parameters.flag('align_to_words') ?? true,
    }
    parameters.end()
    const { work } = parameters
    const results = await Promise.all(
      questions.map((question) => this.#answers(question, size, stride, rules, { run, work })),
    )
    return isSingle ? results[0] : results
  }

  async #answers(
    { question, context }: Question,
    size: number,
    stride: number,
    rules: Rules,
    { run, work }: { readonly run: RunModel; readonly work: Work },
  ): Promise<Answer | readonly Answer[]> {
    const tokens = this.#model.encoder.tokens(context)
    const windows = this.#windows(question, tokens, size, stride)
    const answers = new Map<string, Answer>()
    let nullScore = 1_000_000
    const chars = Array.from(context)
    const found: (readonly Candidate[])[] = []
    const encoded = windows.map((window) => window.encoded)
    const visit = (index: number, [start, end]: readonly Row[]): void => {
      const own = encoded[index]
      if (start === undefined || end === undefined || own === undefined) return
      const { candidates, nothing } = bestSpans(own, start, end, rules)
      found[index] = candidates
      nullScore = Math.min(nullScore, nothing)
    }
    const outputs = this.#outputs
    await this.#model.runs.run({ texts: encoded, outputs, model: run, work, visit })
    for (const [index, { encoded: own, context: shown }] of windows.entries()) {
      for (const { start, end, score } of found[index] ?? []) {
        const [first, last] = [own.indices[start] ?? 0, own.indices[end] ?? 0]
        const [begin, finish] = rangeOf(shown, first, last, rules.alignsToWords)
        const answer = chars.slice(begin, finish).join('')
        // Spans of the same words share their score, as in the pipelines of Hugging Face.
        const key = answer.toLowerCase()
        const same = answers.get(key)
        if (same === undefined) answers.set(key, { score, start: begin, end: finish, answer })
        else answers.set(key, { ...same, score: same.score + score })
      }
    }
    const all = [...answers.values()]
    if (rules.mayBeNull) all.push({ score: nullScore, start: 0, end: 0, answer: '' })
    const best = all
      .toSorted((one, other) => other.score - one.score)
      .slice(0, rules.topK)
      .map((one) => ({ ...one, score: short(one.score) }))
    const [only] = best
    return rules.topK === 1 && only !== undefined ? only : best
  }

  /** Parts of the context that overlap, each with the question before it. */
  #windows(
    question: string,
    context: TokenSequence,
    size: number,
    stride: number,
  ): readonly Window[] {
    const { encoder } = this.#model
    const asked = encoder.tokens(question)
    const room = size - encoder.specialCount(true) - asked.ids.length
    if (room < 1 || (room <= stride && context.ids.length > room)) {
      throw new ServerError(
        'PayloadTooLargeException',
        `The question has ${asked.ids.length} tokens, which leaves no room for the context in ${size} tokens with a stride of ${stride}.`,
      )
    }
    const windows: Window[] = []
    for (let from = 0; ; from += room - stride) {
      const end = Math.min(from + room, context.ids.length)
      const shown = part(context, from, end)
      windows.push({ encoded: encoder.join(asked, shown), context: shown })
      if (end === context.ids.length) break
    }
    checkCount(windows.length, maxTextsOf(this.#model))
    return windows
  }
}

function part(
  { ids, starts, ends, words }: TokenSequence,
  from: number,
  end: number,
): TokenSequence {
  const cut = (list: readonly number[]): readonly number[] => list.slice(from, end)
  return { ids: cut(ids), starts: cut(starts), ends: cut(ends), words: cut(words) }
}

/** `{question, context}`, a list of them, or the same as `inputs`. */
function questionsOf(
  inputs: unknown,
  parameters: Parameters,
): { questions: readonly Question[]; isSingle: boolean } {
  if (inputs === undefined) {
    const question = { question: parameters.text('question'), context: parameters.text('context') }
    return { questions: [questionOf(question)], isSingle: true }
  }
  return Array.isArray(inputs)
    ? { questions: inputs.map(questionOf), isSingle: false }
    : { questions: [questionOf(inputs)], isSingle: true }
}

function questionOf(value: unknown): Question {
  const fields = isFields(value) ? value : {}
  const [question, context] = [textOf(fields['question']), textOf(fields['context'])]
  if (question !== undefined && context !== undefined && context.trim() !== '') {
    return { question, context }
  }
  throw badRequest('A question must be {"question": text, "context": text}, and not be empty.')
}

/** A span of tokens of a window. */
interface Candidate {
  readonly start: number
  readonly end: number
  readonly score: number
}

/** The best spans of a window, and the score of no answer. */
function bestSpans(
  { sequences }: Encoded,
  startRow: Row,
  endRow: Row,
  { topK, maxAnswer, alignsToWords }: Rules,
): { candidates: readonly Candidate[]; nothing: number } {
  const starts = probabilities(startRow, sequences)
  const ends = probabilities(endRow, sequences)
  const nothing = (starts[0] ?? 0) * (ends[0] ?? 0)
  starts[0] = 0
  ends[0] = 0
  // Some of them become the same words.
  const count = alignsToWords ? 2 * topK + 10 : topK
  const best: Candidate[] = []
  for (const [start, first] of starts.entries()) {
    if (sequences[start] !== 1) continue
    for (let end = start; end < start + maxAnswer && sequences[end] === 1; end++) {
      const score = first * (ends[end] ?? 0)
      if (best.length >= count && score <= (best.at(-1)?.score ?? 0)) continue
      let place = best.length
      while (place > 0 && score > (best[place - 1]?.score ?? 0)) place--
      best.splice(place, 0, { start, end, score })
      if (best.length > count) best.pop()
    }
  }
  return { candidates: best, nothing }
}

/** Softmax over the tokens of the context and the first token, which stands for no answer. */
function probabilities({ data }: Row, sequences: readonly number[]): Float64Array {
  const logits = Float64Array.from(sequences, (sequence, index) =>
    sequence === 1 || (index === 0 && sequence === -1) ? (data[index] ?? 0) : -10_000,
  )
  const most = logits.reduce((best, value) => Math.max(best, value), -Infinity)
  const powers = logits.map((value) => Math.exp(value - most))
  const sum = powers.reduce((total, value) => total + value, 0)
  return powers.map((value) => value / sum)
}

/** The characters of tokens, or of the whole words that they are in. */
function rangeOf(
  { starts, ends, words }: TokenSequence,
  first: number,
  last: number,
  alignsToWords: boolean,
): readonly [number, number] {
  if (!alignsToWords) return [starts[first] ?? 0, ends[last] ?? 0]
  let start = first
  while (start > 0 && words[start - 1] === words[first]) start--
  let end = last
  while (end + 1 < words.length && words[end + 1] === words[last]) end++
  return [starts[start] ?? 0, ends[end] ?? 0]
}
