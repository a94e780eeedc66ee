/** Embeddings of texts, and the similarity of texts. */
import { ServerError } from '../../../errors.ts'
import type { RunModel } from '../onnx/codec.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Encoded } from './encoder.ts'
import { fieldsOf, textOf } from './json-fields.ts'
import type { Fields } from './json-fields.ts'
import { badRequest, checkCount, readTextsOrTokens } from './requests/text-request.ts'
import type { Parameters, TextInput, TextRequest } from './requests/text-request.ts'
import { EMBEDDING_FORMATS, cosine, normalized, short, written } from './scores.ts'
import type { TextFolder } from './text-folder.ts'
import { invalid } from './text-folder.ts'
import type { Row } from './text-runs.ts'
import { encodeAll, maxTextsOf, outputFor } from './text-task.ts'
import type { TaskModel, TextTask } from './text-task.ts'

export type Pooling = 'cls' | 'mean' | 'max' | 'lasttoken'

const MODULES: readonly string[] = ['Transformer', 'Pooling', 'Normalize']
const TOKEN_OUTPUTS = ['last_hidden_state', 'token_embeddings']

/** How the outputs become vectors. */
export interface EmbeddingPlan {
  readonly output: TensorSpec
  /** `undefined` if the model itself returns one vector for each text. */
  readonly pooling: Pooling | undefined
  readonly normalizes: boolean
  /** Texts to put before a text, by name. */
  readonly prompts: ReadonlyMap<string, string>
  readonly defaultPrompt: string | undefined
}

/** @throws ServerError `InvalidModelException` for a module that the `.onnx` file does not have. */
export function planEmbeddings(
  outputs: readonly TensorSpec[],
  folder: TextFolder,
  settings: { readonly pooling?: Pooling; readonly normalize?: boolean },
): EmbeddingPlan {
  const whole = outputs.find(
    ({ name, shape }) => name === 'sentence_embedding' && shape.length === 2,
  )
  const other = folder.modules.find((module) => !MODULES.includes(module))
  if (whole === undefined && other !== undefined) {
    throw invalid(`modules.json: the module ${JSON.stringify(other)} is not supported.`)
  }
  return {
    output: whole ?? outputFor(outputs, TOKEN_OUTPUTS, 3),
    pooling: whole === undefined ? (settings.pooling ?? poolingOf(folder.pooling)) : undefined,
    normalizes: settings.normalize ?? folder.modules.includes('Normalize'),
    prompts: promptsOf(folder),
    defaultPrompt: textOf(folder.prompts['default_prompt_name']),
  }
}

/** The prompts of `config_sentence_transformers.json`, by name. */
export function promptsOf(folder: TextFolder): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(fieldsOf(folder.prompts['prompts'])).flatMap(([name, prompt]) =>
      typeof prompt === 'string' ? [[name, prompt] as const] : [],
    ),
  )
}

function poolingOf(config: Fields): Pooling {
  const modes: Readonly<Record<string, Pooling>> = {
    pooling_mode_cls_token: 'cls',
    pooling_mode_mean_tokens: 'mean',
    pooling_mode_max_tokens: 'max',
    pooling_mode_lasttoken: 'lasttoken',
    pooling_mode_mean_sqrt_len_tokens: 'mean',
    pooling_mode_weightedmean_tokens: 'mean',
  }
  const chosen = Object.keys(modes).filter((name) => config[name] === true)
  const named = textOf(config['pooling_mode'])
  const direct = (['cls', 'mean', 'max', 'lasttoken'] as const).find((one) => one === named)
  const [first, ...others] = chosen
  const hasOther = others.length > 0 || /sqrt|weighted/.test(first ?? named ?? '')
  if (hasOther || (named !== undefined && direct === undefined)) {
    throw invalid(
      `1_Pooling/config.json: the pooling ${named ?? chosen.join(', ')} is not supported.`,
    )
  }
  if (config['include_prompt'] === false) {
    throw invalid('1_Pooling/config.json: "include_prompt": false is not supported.')
  }
  return direct ?? (first === undefined ? 'mean' : (modes[first] ?? 'mean'))
}

export class EmbeddingTask implements TextTask {
  readonly #model: TaskModel
  readonly #plan: EmbeddingPlan

  constructor(model: TaskModel, plan: EmbeddingPlan) {
    this.#model = model
    this.#plan = plan
  }

  /** `none` if the model itself returns one vector for each text. */
  get pooling(): string {
    return this.#plan.pooling ?? 'none'
  }

  async answer({ inputs, parameters }: TextRequest, run: RunModel): Promise<unknown> {
    if (parameters.has('source_sentence')) return this.#similarity(parameters, run)
    const { texts, isSingle } = readTextsOrTokens(inputs, maxTextsOf(this.#model))
    const format =
      parameters.choice('encoding_format', EMBEDDING_FORMATS) ??
      parameters.choice('embedding_type', EMBEDDING_FORMATS) ??
      'float'
    const whole = await this.#embed(texts, parameters, run)
    const vectors = whole.map((vector) => written(vector, format))
    return isSingle ? vectors[0] : vectors
  }

  async #similarity(parameters: Parameters, run: RunModel): Promise<unknown> {
    const source = parameters.text('source_sentence') ?? ''
    const sentences = parameters.texts('sentences')
    if (sentences === undefined) throw badRequest('"sentences" is missing.')
    checkCount(sentences.length, maxTextsOf(this.#model))
    const texts = [source, ...sentences].map((text) => ({ text }))
    const [first, ...others] = await this.#embed(texts, parameters, run)
    return others.map((other) => short(cosine(first ?? new Float64Array(), other)))
  }

  async #embed(
    texts: readonly TextInput[],
    parameters: Parameters,
    run: RunModel,
  ): Promise<readonly Float64Array[]> {
    const normalizes = parameters.flag('normalize') ?? this.#plan.normalizes
    const dimensions = parameters.integer('dimensions', 1, 1_000_000)
    const encoded = this.#encode(texts, parameters)
    const vectors: Float64Array[] = []
    await this.#model.runs.run({
      texts: encoded,
      outputs: [this.#plan.output],
      model: run,
      work: parameters.work,
      visit: (index, [row]) => {
        if (row === undefined) return
        const whole = pool(row, this.#plan.pooling)
        if (dimensions !== undefined && dimensions > whole.length) {
          throw badRequest(`"dimensions" must be an integer from 1 to ${whole.length}.`)
        }
        const vector = whole.subarray(0, dimensions ?? whole.length)
        vectors[index] = normalizes ? normalized(vector) : vector
      },
    })
    return vectors
  }

  /** The tokens of the texts with the prompt before each. */
  #encode(texts: readonly TextInput[], parameters: Parameters): readonly Encoded[] {
    const prompt = promptOf(parameters, this.#plan)
    const prompted = texts.map((input) => ({ ...input, text: prompt + input.text }))
    const encoded = encodeAll(this.#model, prompted, parameters)
    parameters.end()
    return encoded
  }

  async tokenVectors(request: TextRequest, run: RunModel, maxNumbers: number): Promise<unknown> {
    const { inputs, parameters } = request
    const { output, pooling } = this.#plan
    if (pooling === undefined) {
      throw badRequest('The model returns one vector for each text, and none for its tokens.')
    }
    const { texts } = readTextsOrTokens(inputs, maxTextsOf(this.#model))
    const encoded = this.#encode(texts, parameters)
    const count = encoded.reduce((sum, { ids }) => sum + ids.length, 0)
    const vectors: (readonly number[])[][] = []
    await this.#model.runs.run({
      texts: encoded,
      outputs: [output],
      model: run,
      work: parameters.work,
      visit: (index, [row]) => {
        if (row === undefined) return
        const { data, width } = row
        // The first text of the first run knows the size of all.
        if (count * width > maxNumbers) {
          throw new ServerError(
            'InsufficientMemoryException',
            `The ${count} vectors of all tokens are larger than the limit of a response. Send fewer texts.`,
          )
        }
        vectors[index] = Array.from({ length: data.length / width }, (_, token) =>
          Array.from(data.subarray(token * width, (token + 1) * width), short),
        )
      },
    })
    return vectors
  }
}

/**
 * Returns the text to put before each text.
 * @throws ServerError 400 for a name that the model does not have.
 */
export function promptOf(
  parameters: Parameters,
  { prompts, defaultPrompt }: Pick<EmbeddingPlan, 'prompts' | 'defaultPrompt'>,
): string {
  const prompt = parameters.text('prompt')
  if (prompt !== undefined) return prompt
  const name = parameters.text('prompt_name') ?? defaultPrompt
  if (name === undefined) return ''
  const named = prompts.get(name)
  if (named !== undefined) return named
  const known = [...prompts.keys()].map((one) => JSON.stringify(one)).join(', ')
  throw badRequest(`"prompt_name" must be one of the model's: ${known || 'it has none'}.`)
}

function pool({ data, width }: Row, pooling: Pooling | undefined): Float64Array {
  const tokens = Math.floor(data.length / width)
  if (pooling === undefined || pooling === 'cls') return Float64Array.from(data.subarray(0, width))
  if (pooling === 'lasttoken') return Float64Array.from(data.subarray((tokens - 1) * width))
  const pooled = new Float64Array(width).fill(pooling === 'max' ? -Infinity : 0)
  for (const [index, value] of data.entries()) {
    const place = index % width
    const before = pooled[place] ?? 0
    pooled[place] = pooling === 'max' ? Math.max(before, value) : before + value
  }
  return pooling === 'max' ? pooled : pooled.map((sum) => sum / Math.max(tokens, 1))
}
