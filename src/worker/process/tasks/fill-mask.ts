/** Words for the masked places of a text, and the sparse embeddings of such models. */
import type { RunModel } from '../onnx/codec.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import { badRequest, checkCount, readTexts, readTextsOrTokens } from './requests/text-request.ts'
import type { TextRequest } from './requests/text-request.ts'
import { highest, short, softmax } from './scores.ts'
import { encodeAll, maxTextsOf, outputFor } from './text-task.ts'
import type { TaskModel, TextTask } from './text-task.ts'

const DEFAULT_TOP_K = 5
const MAX_TOP_K = 1000
const OUTPUTS = ['logits', 'prediction_logits']

export class FillMaskTask implements TextTask {
  readonly #model: TaskModel
  readonly #output: TensorSpec
  readonly #mask: string
  readonly #maskId: number

  /** @param mask The text that marks a masked place. */
  constructor(model: TaskModel, mask: string, maskId: number) {
    this.#model = model
    this.#output = outputFor(model.outputs, OUTPUTS, 3)
    this.#mask = mask
    this.#maskId = maskId
  }

  async answer({ inputs, parameters }: TextRequest, run: RunModel): Promise<unknown> {
    const { texts, isSingle } = readTexts(inputs, maxTextsOf(this.#model))
    const count = parameters.integer('top_k', 1, MAX_TOP_K) ?? DEFAULT_TOP_K
    const targets = parameters.texts('targets')
    checkCount(targets?.length ?? 0, maxTextsOf(this.#model))
    const targetIds = targets && [...new Set(targets.map((target) => this.#targetId(target)))]
    const encoded = encodeAll(this.#model, texts, parameters)
    parameters.end()
    const places = encoded.map(({ ids }) =>
      ids.flatMap((id, place) => (id === this.#maskId ? [place] : [])),
    )
    if (places.some(({ length }) => length === 0)) {
      throw badRequest(`A text has no ${this.#mask}, the mark of a masked word.`)
    }
    const results: unknown[] = []
    await this.#model.runs.run({
      texts: encoded,
      outputs: [this.#output],
      model: run,
      work: parameters.work,
      visit: (index, [row]) => {
        if (row === undefined) return
        const { data, width } = row
        const ids = encoded[index]?.ids ?? []
        const masked = places[index] ?? []
        const own = masked.map((place) => {
          const scores = softmax(data.subarray(place * width, (place + 1) * width))
          const best = targetIds
            ? highest(
                targetIds.map((id) => scores[id] ?? 0),
                count,
              ).map((at) => targetIds[at] ?? 0)
            : highest(scores, count)
          return best.map((token) => this.#filled(ids, place, token, scores, masked.length === 1))
        })
        results[index] = own.length === 1 ? own[0] : own
      },
    })
    return isSingle ? results[0] : results
  }

  #filled(
    ids: readonly number[],
    place: number,
    token: number,
    scores: Float64Array,
    isOnly: boolean,
  ): object {
    const { tokenizer } = this.#model.encoder
    const filled = ids.map((id, at) => (at === place ? token : id))
    const shown = isOnly ? filled.filter((id) => !tokenizer.isSpecial(id)) : filled
    return {
      score: short(scores[token] ?? 0),
      token,
      token_str: tokenizer.decode([token]),
      sequence: tokenizer.decode(shown),
    }
  }

  /** The token of a word, or the first token of a word that has several. */
  #targetId(target: string): number {
    const { encoder } = this.#model
    const id = encoder.tokenizer.idOf(target) ?? encoder.tokens(target).ids[0]
    if (id !== undefined) return id
    throw badRequest(`The target ${JSON.stringify(target.slice(0, 50))} has no tokens.`)
  }
}

/** Sparse embeddings: a weight for each token of the vocabulary that matters (SPLADE). */
export class SparseEmbeddingTask implements TextTask {
  readonly #model: TaskModel
  readonly #output: TensorSpec

  constructor(model: TaskModel) {
    this.#model = model
    this.#output = outputFor(model.outputs, OUTPUTS, 3)
  }

  async answer({ inputs, parameters }: TextRequest, run: RunModel): Promise<unknown> {
    const { texts, isSingle } = readTextsOrTokens(inputs, maxTextsOf(this.#model))
    const encoded = encodeAll(this.#model, texts, parameters)
    parameters.end()
    const { tokenizer } = this.#model.encoder
    const results: unknown[] = []
    await this.#model.runs.run({
      texts: encoded,
      outputs: [this.#output],
      model: run,
      work: parameters.work,
      visit: (text, [row]) => {
        if (row === undefined) return
        const weights = new Float64Array(row.width)
        for (const [place, value] of row.data.entries()) {
          const index = place % row.width
          const weight = Math.log1p(Math.max(value, 0))
          if (weight > (weights[index] ?? 0)) weights[index] = weight
        }
        results[text] = Array.from(weights.entries())
          .filter(([, value]) => value > 0)
          .toSorted(([, one], [, other]) => other - one)
          .map(([index, value]) => ({
            index,
            value: short(value),
            token: tokenizer.tokenOf(index),
          }))
      },
    })
    return isSingle ? results[0] : results
  }
}
