/** Answers requests in the form of OpenAI, Cohere and text-embeddings-inference. */
import { TEXT_DIALECTS } from '../../../../contract/internal-headers.ts'
import type { TextDialect } from '../../../../contract/internal-headers.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { CodecLimits, OwnRuns, RequestCodec } from '../../onnx/codec.ts'
import type { RequestHeaders } from '../../onnx/headers.ts'
import { isFields } from '../json-fields.ts'
import { readBody, textPrediction, writeBody } from '../requests/text-body.ts'
import { badRequest, readRequest } from '../requests/text-request.ts'
import type { TextRequest, Work } from '../requests/text-request.ts'
import type { TaskName } from '../text-folder.ts'
import type { TextTask } from '../text-task.ts'
import {
  answerEmbeddings,
  answerTeiEmbed,
  answerTeiEmbedAll,
  answerTeiEmbedSparse,
  answerTeiSimilarity,
} from './embeddings.ts'
import type { Ask, Form, FormModel } from './form.ts'
import { answerPredict } from './predict.ts'
import { answerRerank, answerTeiRerank } from './rerank.ts'
import { answerDecode, answerTokenize } from './tokens.ts'

const EMBEDS: readonly TaskName[] = ['feature-extraction']
const RANKS: readonly TaskName[] = ['text-ranking', 'text-classification']

/** A number of a response and the comma after it have at least so many bytes. */
const LEAST_NUMBER_BYTES = 2

/** For each dialect, the tasks that can answer it, and how; without `tasks`, all can. */
const FORMS: Readonly<Record<TextDialect, { tasks?: readonly TaskName[]; answer: Form }>> = {
  embeddings: { tasks: EMBEDS, answer: answerEmbeddings },
  'tei-embed': { tasks: EMBEDS, answer: answerTeiEmbed },
  'tei-embed-all': { tasks: EMBEDS, answer: answerTeiEmbedAll },
  'tei-embed-sparse': { tasks: ['sparse-embedding'], answer: answerTeiEmbedSparse },
  'tei-predict': { tasks: RANKS, answer: answerPredict },
  'tei-similarity': { tasks: EMBEDS, answer: answerTeiSimilarity },
  rerank: { tasks: RANKS, answer: answerRerank },
  'tei-rerank': { tasks: RANKS, answer: answerTeiRerank },
  'tei-tokenize': { answer: answerTokenize },
  'tei-decode': { answer: answerDecode },
}

/** What {@link DialectCodec} needs to know of the model. */
export interface ServedModel extends Omit<FormModel, 'ask' | 'askTokens'> {
  readonly task: TaskName
  readonly limits: CodecLimits
}

export class DialectCodec implements RequestCodec<OwnRuns> {
  readonly #task: TextTask
  readonly #model: ServedModel

  constructor(task: TextTask, model: ServedModel) {
    this.#task = task
    this.#model = model
  }

  decode(request: WireRequest, { dialect }: RequestHeaders): OwnRuns {
    const { name, task, limits } = this.#model
    // No other dialect comes here.
    const form = TEXT_DIALECTS.find((one) => one === dialect) ?? 'embeddings'
    const { tasks, answer } = FORMS[form]
    if (tasks !== undefined && !tasks.includes(task)) {
      throw badRequest(
        `The model ${name} has the task ${task}; this path needs ${tasks.join(' or ')}. Use /predictions/${name}.`,
      )
    }
    const value = readBody(request, limits)?.value
    if (!isFields(value)) throw badRequest('The body must be a JSON object.')
    return {
      id: request.id,
      dialect,
      perform: async (run): Promise<WirePrediction> => {
        const work: Work = { tokens: 0, padding: 0 }
        const done = ({ parameters }: TextRequest, result: unknown): Awaited<ReturnType<Ask>> => {
          work.tokens += parameters.work.tokens
          work.padding += parameters.work.padding
          return { result, tokens: parameters.tokens }
        }
        const ask: Ask = async (fields) => {
          const asked = readRequest(fields, {})
          return done(asked, await this.#task.answer(asked, run))
        }
        const askTokens: Ask = async (fields) => {
          const asked = readRequest(fields, {})
          const maxNumbers = limits.maxResponseBytes / LEAST_NUMBER_BYTES
          return done(asked, await this.#task.tokenVectors?.(asked, run, maxNumbers))
        }
        const body = await answer(value, { ...this.#model, ask, askTokens })
        return textPrediction(request.id, writeBody(body, limits), work)
      },
    }
  }
}
