/** Text classification, also of pairs; zero-shot classification; ranking of texts for a query. */
import type { RunModel } from '../onnx/codec.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import { badRequest, checkCount, readTexts } from './requests/text-request.ts'
import type { Parameters, TextInput, TextRequest } from './requests/text-request.ts'
import { highest, short, sigmoid, softmax } from './scores.ts'
import { encodeAll, maxTextsOf, outputFor } from './text-task.ts'
import type { TaskModel, TextTask } from './text-task.ts'

const DEFAULT_HYPOTHESIS = 'This example is {}.'
const MAX_TOP_K = 10_000
const FUNCTIONS = ['softmax', 'sigmoid', 'none'] as const

export class ClassificationTask implements TextTask {
  readonly #model: TaskModel
  readonly #output: TensorSpec
  /** Index of the label that says that the second text follows from the first. */
  readonly #entailment: number

  constructor(model: TaskModel) {
    this.#model = model
    this.#output = outputFor(model.outputs, ['logits'], 2)
    this.#entailment = entailmentOf(model.labels)
  }

  async answer({ inputs, parameters }: TextRequest, run: RunModel): Promise<unknown> {
    if (parameters.has('candidate_labels')) return this.#zeroShot(inputs, parameters, run)
    if (parameters.has('query')) return this.#rank(parameters, run)
    const { texts, isSingle } = readTexts(inputs, maxTextsOf(this.#model))
    const count = parameters.integer('top_k', 1, MAX_TOP_K) ?? this.#model.topK
    const score = this.#scoring(parameters)
    const rows = (await this.#logits(texts, parameters, run)).map((logits) => {
      const scores = score(logits)
      return highest(scores, count).map((index) => ({
        label: this.#label(index),
        score: short(scores[index] ?? 0),
      }))
    })
    return isSingle ? rows[0] : rows
  }

  #label(index: number): string {
    return this.#model.labels[index] ?? `LABEL_${index}`
  }

  async #logits(
    texts: readonly TextInput[],
    parameters: Parameters,
    run: RunModel,
  ): Promise<readonly Float64Array[]> {
    const encoded = encodeAll(this.#model, texts, parameters)
    parameters.end()
    const rows: Float64Array[] = []
    await this.#model.runs.run({
      texts: encoded,
      outputs: [this.#output],
      model: run,
      work: parameters.work,
      visit: (index, [row]) => {
        rows[index] = Float64Array.from(row?.data ?? [])
      },
    })
    return rows
  }

  #scoring(parameters: Parameters): (logits: Float64Array) => Float64Array {
    const isRaw = parameters.flag('raw_scores') ?? false
    const wanted = parameters.choice('function_to_apply', FUNCTIONS)
    return (logits) => {
      const usual = this.#model.isMultiLabel || logits.length === 1 ? 'sigmoid' : 'softmax'
      const name = wanted ?? (isRaw ? 'none' : usual)
      if (name === 'none') return logits
      return name === 'softmax' ? softmax(logits) : logits.map(sigmoid)
    }
  }

  async #rank(parameters: Parameters, run: RunModel): Promise<unknown> {
    const query = parameters.text('query') ?? ''
    const documents = parameters.texts('texts') ?? parameters.texts('documents')
    if (documents === undefined) throw badRequest('"texts" is missing: the texts to rank.')
    checkCount(documents.length, maxTextsOf(this.#model))
    const returnsText = parameters.flag('return_text') ?? false
    const count = parameters.integer('top_k', 1, MAX_TOP_K) ?? documents.length
    const score = this.#scoring(parameters)
    const pairs = documents.map((pair) => ({ text: query, pair }))
    const logits = await this.#logits(pairs, parameters, run)
    if (logits.some(({ length }) => length !== 1)) {
      throw badRequest('The model classifies texts and does not rank them: it has several labels.')
    }
    const scores = logits.map((values) => score(values)[0] ?? 0)
    return highest(scores, count).map((index) => ({
      index,
      score: short(scores[index] ?? 0),
      ...(returnsText ? { text: documents[index] } : {}),
    }))
  }

  async #zeroShot(inputs: unknown, parameters: Parameters, run: RunModel): Promise<unknown> {
    if (this.#entailment < 0) {
      throw badRequest('The model has no label for entailment, so it takes no "candidate_labels".')
    }
    const { texts, isSingle } = readTexts(inputs, maxTextsOf(this.#model))
    const labels = candidatesOf(parameters)
    const template = parameters.text('hypothesis_template') ?? DEFAULT_HYPOTHESIS
    if (!template.includes('{}')) throw badRequest('"hypothesis_template" must contain {}.')
    const isMultiLabel = parameters.flag('multi_label') ?? false
    checkCount(texts.length * labels.length, maxTextsOf(this.#model))
    const pairs = texts.flatMap(({ text }) =>
      labels.map((label) => ({ text, pair: template.replace('{}', () => label) })),
    )
    const logits = await this.#logits(pairs, parameters, run)
    const results = texts.map(({ text }, index) => {
      const own = logits.slice(index * labels.length, (index + 1) * labels.length)
      const scores = this.#entailments(own, isMultiLabel || labels.length === 1)
      const order = highest(scores, labels.length)
      return {
        sequence: text,
        labels: order.map((place) => labels[place] ?? ''),
        scores: order.map((place) => short(scores[place] ?? 0)),
      }
    })
    return isSingle ? results[0] : results
  }

  /** The probabilities of candidates: each on its own against contradiction, or all together. */
  #entailments(logits: readonly Float64Array[], isMultiLabel: boolean): Float64Array {
    const entailment = this.#entailment
    if (!isMultiLabel) return softmax(logits.map((values) => values[entailment] ?? 0))
    return Float64Array.from(logits, (values) => {
      const contradiction = (entailment === 0 ? values.at(-1) : values[0]) ?? 0
      return softmax([contradiction, values[entailment] ?? 0])[1] ?? 0
    })
  }
}

/** Returns the index of the label of entailment, or -1. */
export function entailmentOf(labels: readonly string[]): number {
  return labels.findIndex((label) => label.toLowerCase().startsWith('entail'))
}

/** A list of labels, or a text with commas between them. */
function candidatesOf(parameters: Parameters): readonly string[] {
  const value = parameters.value('candidate_labels')
  const labels = typeof value === 'string' ? value.split(',') : value
  const isList = Array.isArray(labels) && labels.every((label) => typeof label === 'string')
  if (!isList || labels.length === 0) {
    throw badRequest('"candidate_labels" must be a list of texts.')
  }
  return labels.map((label: string) => label.trim())
}
