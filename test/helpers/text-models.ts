/** Tiny text models in the layout of Hugging Face, made by the tests, with random weights. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { floats, integers, node, writeModel } from './onnx-builder.ts'
import type { GraphSource, ModelSource, NodeSource } from './onnx-builder.ts'
import { randomNumbers } from './random.ts'
import { temporaryFolder } from './server.ts'
import type { Cleanup } from './server.ts'
import { wordPieceFile } from './tokenizer-files.ts'

/** Words of the tiny models' vocabulary. */
export const WORDS =
  'the a cat dog sat on mat in paris london berlin anna and bob live work eat fish who where is what good bad very not this text , . ? !'

/** The files of a tiny model. */
export interface TinyModel {
  /** Class at the end of the architecture, for example `ForTokenClassification`. */
  readonly suffix: string
  readonly labels?: readonly string[]
  /** Names of the outputs with one number for each token and column. */
  readonly graph: 'pooled' | 'tokens' | 'spans' | 'hidden'
  /** Number of columns. */
  readonly width: number
  /** Number of rows of the table, one for each token; default 200. */
  readonly rows?: number
  /** Further members of `config.json`. */
  readonly config?: object
  /** Further files, as JSON, by their path. */
  readonly files?: Readonly<Record<string, unknown>>
  /** Path of the `.onnx` file. */
  readonly file?: string
}

const MASK_INPUTS: GraphSource['inputs'] = ['input_ids', 'attention_mask', 'token_type_ids'].map(
  (name) => ({ name, type: 'INT64', shape: ['batch', 'sequence'] }),
)

/** Each word of the vocabulary is a token; all letters are tokens as well. */
export function tinyTokenizer(): ReturnType<typeof wordPieceFile> {
  const file = wordPieceFile([])
  const letters = Array.from('abcdefghijklmnopqrstuvwxyz')
  const tokens = [
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    '[MASK]',
    ...WORDS.split(' '),
    ...letters.filter((letter) => letter !== 'a'),
    ...letters.map((letter) => `##${letter}`),
  ]
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
  return { ...file, model: { ...(file['model'] as object), vocab } }
}

/** Writes the folder of a tiny model and returns its path. */
export function tinyTextModel(t: Cleanup, name: string, model: TinyModel): string {
  const folder = path.join(temporaryFolder(t), name)
  const { suffix, labels, config = {}, files = {}, file = 'onnx/model.onnx' } = model
  const written: Record<string, unknown> = {
    'tokenizer.json': tinyTokenizer(),
    'tokenizer_config.json': { model_max_length: 64, mask_token: '[MASK]', pad_token: '[PAD]' },
    'config.json': {
      architectures: [`Bert${suffix}`],
      model_type: 'bert',
      max_position_embeddings: 64,
      ...(labels === undefined ? {} : { id2label: { ...labels } }),
      ...config,
    },
    ...files,
  }
  for (const [relative, content] of Object.entries(written)) {
    const place = path.join(folder, relative)
    mkdirSync(path.dirname(place), { recursive: true })
    writeFileSync(place, JSON.stringify(content))
  }
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
  writeModel(path.join(folder, file), graphOf(model))
  return folder
}

/** The weights of a token: the row of a table of random numbers. */
export function weightsOf(width: number, rows = 200): readonly number[] {
  const random = randomNumbers(42)
  return Array.from({ length: rows * width }, () => random.next() * 4 - 2)
}

function graphOf({ graph, width, rows = 200 }: TinyModel): ModelSource {
  const shape = ['batch', 'sequence', width]
  const nodes: NodeSource[] = [
    node('Gather', ['table', 'input_ids'], 'rows', { axis: 0 }),
    node('Cast', ['attention_mask'], 'mask', { to: 1 }),
    node('Cast', ['token_type_ids'], 'types', { to: 1 }),
    node('Unsqueeze', ['mask', 'last'], 'mask3'),
    node('Unsqueeze', ['types', 'last'], 'types3'),
    node('Add', ['rows', 'types3'], 'typed'),
    node('Mul', ['typed', 'mask3'], 'own'),
  ]
  const table = floats([rows, width], weightsOf(width, rows))
  const common = { table, last: integers(2) }
  const own: ModelSource['constants'] =
    graph === 'pooled' ? { first: integers(1) } : graph === 'spans' ? { axis: integers(1) } : {}
  const outputs: Readonly<Record<TinyModel['graph'], ModelSource['outputs']>> = {
    pooled: [{ name: 'logits', type: 'FP32', shape: ['batch', width] }],
    tokens: [{ name: 'logits', type: 'FP32', shape }],
    hidden: [{ name: 'last_hidden_state', type: 'FP32', shape }],
    spans: ['start_logits', 'end_logits'].map((name) => ({
      name,
      type: 'FP32',
      shape: ['batch', 'sequence'],
    })),
  }
  const ends: Readonly<Record<TinyModel['graph'], readonly NodeSource[]>> = {
    pooled: [node('ReduceSum', ['own', 'first'], 'logits', { keepdims: 0 })],
    tokens: [node('Identity', ['own'], 'logits')],
    hidden: [node('Identity', ['own'], 'last_hidden_state')],
    spans: [
      // Each position has a number of its own: equal spans would have no order.
      node('CumSum', ['mask', 'axis'], 'position'),
      node('Sin', ['position'], 'wave'),
      node('Unsqueeze', ['wave', 'last'], 'wave3'),
      node('Add', ['own', 'wave3'], 'placed'),
      node('Split', ['placed'], ['start3', 'end3'], { axis: 2 }),
      node('Squeeze', ['start3', 'last'], 'start_logits'),
      node('Squeeze', ['end3', 'last'], 'end_logits'),
    ],
  }
  return {
    inputs: MASK_INPUTS,
    outputs: outputs[graph],
    nodes: [...nodes, ...ends[graph]],
    constants: { ...common, ...own },
  }
}

const CLASSIFIER = 'ForSequenceClassification'
const SPLADE = { 'modules.json': [{ type: 'sentence_transformers.models.SpladePooling' }] }

/** A tiny model of each task. */
export const TINY_MODELS: Readonly<Record<string, TinyModel>> = {
  classify: { suffix: CLASSIFIER, labels: ['bad', 'good'], graph: 'pooled', width: 2 },
  zeroshot: { suffix: CLASSIFIER, labels: ['no', 'entailment'], graph: 'pooled', width: 2 },
  rank: { suffix: CLASSIFIER, labels: ['LABEL_0'], graph: 'pooled', width: 1 },
  tag: {
    suffix: 'ForTokenClassification',
    labels: ['O', 'B-PER', 'I-PER'],
    graph: 'tokens',
    width: 3,
  },
  answer: { suffix: 'ForQuestionAnswering', graph: 'spans', width: 2 },
  fill: { suffix: 'ForMaskedLM', graph: 'tokens', width: 90 },
  sparse: { suffix: 'ForMaskedLM', graph: 'tokens', width: 90, files: SPLADE },
  embed: { suffix: 'Model', graph: 'hidden', width: 8 },
}

/** Writes the folders of {@link TINY_MODELS}, or of those with the given names. */
export function tinyTextModels(
  t: Cleanup,
  names: readonly string[] = Object.keys(TINY_MODELS),
): readonly string[] {
  return Object.entries(TINY_MODELS)
    .filter(([name]) => names.includes(name))
    .map(([name, model]) => tinyTextModel(t, name, model))
}
