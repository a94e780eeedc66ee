/** Creates the codec of a model with a tokenizer: requests with texts become runs of the model. */
import { withProtoFile } from '../../../formats/proto-file.ts'
import type { ModelFiles } from '../../../model-folder/files.ts'
import type { WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { CodecLimits, Decoded, OwnRuns, RequestCodec, RunModel } from '../onnx/codec.ts'
import { readGraph } from '../onnx/graph/graph-reader.ts'
import type { RequestHeaders } from '../onnx/headers.ts'
import type { NamedTransport } from '../onnx/oip/named-tensors.ts'
import type { ModelMetadata, TensorSpec, TextDescription } from '../onnx/tensors/metadata.ts'
import { ClassificationTask, entailmentOf } from './classification.ts'
import { DialectCodec } from './dialects/codec.ts'
import { TextProtocolCodec } from './dialects/protocol.ts'
import { EmbeddingTask, planEmbeddings, promptsOf } from './embeddings.ts'
import { Encoder } from './encoder.ts'
import { FillMaskTask, SparseEmbeddingTask } from './fill-mask.ts'
import { fieldsOf, isFields, listOf, numberOf, textOf } from './json-fields.ts'
import { QuestionAnsweringTask } from './question-answering.ts'
import { readBody, textPrediction, writeBody } from './requests/text-body.ts'
import { readRequest } from './requests/text-request.ts'
import { invalid, labelsOf } from './text-folder.ts'
import type { TextFiles, TextFolder } from './text-folder.ts'
import { TextRuns } from './text-runs.ts'
import { maxTextsOf } from './text-task.ts'
import type { TaskModel, TextTask } from './text-task.ts'
import { TokenClassificationTask } from './token-classification.ts'
import { Tokenizer } from './tokenizer/tokenizer.ts'

const DEFAULT_MAX_TOKENS = 512
/** On a CPU, longer runs take more time for each token, because they leave its caches. */
const CPU_MAX_BATCH_TOKENS = 512
const GPU_MAX_BATCH_TOKENS = 16_384
const DEFAULT_TOP_K = 5
/**
 * Beginning of the names of operators whose results depend on all numbers of a tensor, so that
 * texts must not share a run.
 */
const DYNAMIC_QUANTISATION = 'DynamicQuantize'

/** A text model that is ready for requests. */
export interface TextModel {
  readonly codec: RequestCodec<Decoded | OwnRuns>
  /** Answers requests in the form of other servers. */
  /**
   * A codec for requests of the Open Inference Protocol, with texts or tensors.
   * @param tensors The codec for tensors.
   */
  readonly protocol: (
    transport: NamedTransport,
    tensors: RequestCodec,
  ) => RequestCodec<Decoded | OwnRuns>
  readonly dialects: RequestCodec<OwnRuns>
  readonly description: TextDescription
}

/** What a text model is made from. */
export interface TextModelParts {
  readonly folder: TextFolder
  readonly files: ModelFiles
  readonly metadata: ModelMetadata
  readonly limits: CodecLimits
  /** Decodes requests with tensors. */
  readonly fallback: RequestCodec
  /** Whether texts of different requests may share a run. */
  readonly joinsRequests: boolean
}

/** @throws ServerError `InvalidModelException` when the files do not fit together. */
export function createTextModel(parts: TextModelParts): TextModel {
  const { folder, files, metadata, fallback, limits, joinsRequests } = parts
  const { settings } = files
  const encoder = createEncoder(folder, metadata.inputs, settings.text?.maxTokens)
  const special = Math.max(encoder.specialCount(true), encoder.specialCount(false))
  if (encoder.maxTokens <= special) {
    throw invalid(
      `The model takes ${encoder.maxTokens} tokens, too few for a text: the template of tokenizer.json adds ${special}.`,
    )
  }
  const labels = metadata.labels ?? labelsOf(folder.config) ?? []
  const joins = metadata.batchable && files.onnxFile !== undefined && !isDynamic(files.onnxFile)
  const onCpu = metadata.providers.every((name) => name === 'cpu')
  const maxBatchTokens =
    settings.text?.maxBatchTokens ?? (onCpu ? CPU_MAX_BATCH_TOKENS : GPU_MAX_BATCH_TOKENS)
  const model: TaskModel = {
    encoder,
    outputs: metadata.outputs,
    runs: new TextRuns({ encoder, joins, joinsRequests: joins && joinsRequests, maxBatchTokens }),
    labels,
    truncates: settings.text?.truncate ?? false,
    isMultiLabel:
      settings.text?.multiLabel ?? folder.config['problem_type'] === 'multi_label_classification',
    topK: settings.topK ?? DEFAULT_TOP_K,
    maxTexts: metadata.maxBatchSize,
  }
  const task = taskFor(model, parts)
  const mask = maskOf(folder)
  const inputNames = metadata.inputs.map(({ name }) => name)
  return {
    codec: new TextCodec(task, { inputNames, limits, fallback }),
    protocol: (transport, tensors) =>
      new TextProtocolCodec(task, { task: folder.task, metadata, limits }, transport, tensors),
    dialects: new DialectCodec(task, {
      name: metadata.name,
      task: folder.task,
      limits,
      encoder,
      maxTexts: maxTextsOf(model),
      prompts: promptsOf(folder),
    }),
    description: {
      task: folder.task,
      maxTokens: encoder.maxTokens,
      labels,
      isZeroShot: entailmentOf(labels) >= 0,
      ...(folder.task === 'fill-mask' ? { mask } : {}),
      ...(task instanceof EmbeddingTask ? { pooling: task.pooling } : {}),
      truncates: model.truncates,
      maxTexts: maxTextsOf(model),
      maxBatchTokens,
    },
  }
}

/**
 * Creates what turns texts into inputs.
 * @param maxTokens Default: the limit of the tokenizer.
 * @throws ServerError `InvalidModelException` for an input that no tokenizer fills.
 */
export function createEncoder(
  files: TextFiles,
  inputs: readonly TensorSpec[],
  maxTokens = maxTokensOf(files),
): Encoder {
  const tokenizer = new Tokenizer(files.tokenizer)
  return new Encoder(tokenizer, inputs, { maxTokens, padId: padIdOf(files, tokenizer) })
}

function taskFor(model: TaskModel, { folder, files }: TextModelParts): TextTask {
  switch (folder.task) {
    case 'text-classification':
    case 'text-ranking':
      return new ClassificationTask(model)
    case 'token-classification':
      return new TokenClassificationTask(model)
    case 'question-answering':
      return new QuestionAnsweringTask(model)
    case 'feature-extraction':
      return new EmbeddingTask(
        model,
        planEmbeddings(model.outputs, folder, files.settings.text ?? {}),
      )
    case 'sparse-embedding':
      return new SparseEmbeddingTask(model)
    case 'fill-mask': {
      const mask = maskOf(folder)
      const id = model.encoder.tokenizer.idOf(mask)
      if (id === undefined) throw invalid(`tokenizer.json has no token ${mask} for masked words.`)
      return new FillMaskTask(model, mask, id)
    }
  }
}

/** The limit of sentence-transformers or the tokenizer, but not more than the model has places. */
function maxTokensOf({ config, tokenizerConfig, sentenceConfig }: TextFiles): number {
  const places = numberOf(config['max_position_embeddings'])
  // RoBERTa counts positions from the id of its padding token, plus 1.
  const isOffset = /roberta|camembert|mpnet|longformer/.test(textOf(config['model_type']) ?? '')
  const usable = places === undefined ? undefined : places - (isOffset ? 2 : 0)
  const stated = [sentenceConfig['max_seq_length'], tokenizerConfig['model_max_length']]
    .map(numberOf)
    .find((limit) => limit !== undefined && limit > 0 && limit < 10_000_000)
  return Math.min(stated ?? usable ?? DEFAULT_MAX_TOKENS, usable ?? Infinity)
}

function padIdOf({ config, tokenizerConfig }: TextFiles, tokenizer: Tokenizer): number {
  const token = tokenOf(tokenizerConfig['pad_token'])
  const id = token === undefined ? undefined : tokenizer.idOf(token)
  return tokenizer.defaults.padId ?? id ?? numberOf(config['pad_token_id']) ?? 0
}

function maskOf({ tokenizerConfig, tokenizer }: TextFolder): string {
  const stated = tokenOf(tokenizerConfig['mask_token'])
  if (stated !== undefined) return stated
  const text = fieldsOf(tokenizer)['added_tokens']
  const added = Array.isArray(text) ? text.map((one) => textOf(fieldsOf(one)['content'])) : []
  return added.find((token) => token === '<mask>') ?? '[MASK]'
}

/** A token is written as text, or as an object with `content`. */
function tokenOf(value: unknown): string | undefined {
  return textOf(value) ?? (isFields(value) ? textOf(value['content']) : undefined)
}

/** Whether operators take a scale from all numbers of a tensor. Does not read weights. */
function isDynamic(file: string): boolean {
  try {
    return withProtoFile(file, (model) =>
      readGraph(model).nodes.some(({ operator }) => operator.startsWith(DYNAMIC_QUANTISATION)),
    )
  } catch {
    // The graph cannot be read completely, for example because it is too large.
    return true
  }
}

interface CodecParts {
  readonly inputNames: readonly string[]
  readonly limits: CodecLimits
  readonly fallback: RequestCodec
}

/** Answers texts; requests that name the inputs of the model are decoded as tensors. */
class TextCodec implements RequestCodec<Decoded | OwnRuns> {
  readonly #task: TextTask
  readonly #parts: CodecParts

  constructor(task: TextTask, parts: CodecParts) {
    this.#task = task
    this.#parts = parts
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded | OwnRuns | Promise<Decoded> {
    const { inputNames, limits, fallback } = this.#parts
    const body = headers.jsonLength === undefined ? readBody(request, limits) : undefined
    if (body === undefined || isTensors(body.value, inputNames)) {
      return fallback.decode(request, headers)
    }
    const task = this.#task
    const { value, query } = body
    return {
      id: request.id,
      dialect: headers.dialect,
      perform: async (run: RunModel): Promise<WirePrediction> => {
        const asked = readRequest(value, query)
        const written = writeBody(await task.answer(asked, run), limits)
        return textPrediction(request.id, written, asked.parameters.work)
      },
    }
  }
}

/** Whether a body is an object of the model's inputs, or a request of the inference protocol. */
function isTensors(value: unknown, names: readonly string[]): boolean {
  if (!isFields(value)) return false
  if (names.some((name) => name in value)) return true
  const { inputs } = value
  const [first] = listOf(inputs)
  return isFields(first) && 'name' in first && ('data' in first || 'shape' in first)
}
