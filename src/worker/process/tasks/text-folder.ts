/**
 * Reads what a folder of Hugging Face says about a text model: `config.json`, `tokenizer.json`, and
 * the files of sentence-transformers.
 */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../../errors.ts'
import type { ModelFiles } from '../../../model-folder/files.ts'
import { readTextInside } from '../../../model-folder/read-inside.ts'
import type { ReadLimits } from '../../../model-folder/read-inside.ts'
import type { TEXT_TASKS } from '../../../model-folder/text-settings.ts'
import { codeOf } from '../../../system/process-identity.ts'
import { printableLabel } from '../onnx/labels/label-file.ts'
import { fieldsOf, isFields, listOf, numberOf, textOf } from './json-fields.ts'
import type { Fields } from './json-fields.ts'

export const TOKENIZER_FILE = 'tokenizer.json'
/** Larger than the tokenizer of any known model by far. */
const MAX_TOKENIZER_BYTES = 128 * 1024 * 1024
const MAX_CONFIG_BYTES = 16 * 1024 * 1024

/** What a model does with texts. */
export type TaskName = Exclude<(typeof TEXT_TASKS)[number], 'none'>

/** A folder of a text model with a task. */
export interface TextFolder extends TextFiles {
  readonly task: TaskName
}

/** The files of a folder, parsed; an empty object for a file that is missing. */
export interface TextFiles {
  readonly tokenizer: unknown
  readonly config: Fields
  readonly tokenizerConfig: Fields
  readonly sentenceConfig: Fields
  readonly prompts: Fields
  readonly pooling: Fields
  /** The last part of each module's type in `modules.json`, for example `Pooling`. */
  readonly modules: readonly string[]
}

/** Modules of sentence-transformers that decide the task; the first that a folder has counts. */
export const MODULE_TASKS: readonly (readonly [module: string, task: TaskName])[] = [
  ['SpladePooling', 'sparse-embedding'],
  ['Pooling', 'feature-extraction'],
]

/** Suffixes of `architectures[0]` and their tasks. */
export const ARCHITECTURES: readonly (readonly [suffix: string, task: TaskName])[] = [
  ['ForSequenceClassification', 'text-classification'],
  ['ForTokenClassification', 'token-classification'],
  ['ForQuestionAnswering', 'question-answering'],
  ['ForMaskedLM', 'fill-mask'],
  ['Model', 'feature-extraction'],
]

/**
 * Returns `undefined` for a folder that is not a text model, or whose architecture has no task: its
 * tensors are served.
 * @throws ServerError `InvalidModelException` when a file is damaged.
 */
export async function readTextFolder(
  files: ModelFiles,
  root: string | undefined,
): Promise<TextFolder | undefined> {
  const { settings } = files
  if (settings.text?.task === 'none' || settings.handler === 'image') return undefined
  const read = await jsonReader(files, root)
  if (read === undefined) return undefined
  const head = await readHead(read)
  const task = settings.text?.task ?? taskOf(head.config, head.modules)
  return task && { task, ...(await readAll(read, head)) }
}

/**
 * Reads the files of a folder with a tokenizer, whatever its task is. Returns `undefined` for a
 * folder without one.
 * @throws ServerError `InvalidModelException` when a file is damaged.
 */
export async function readTextFiles(
  files: ModelFiles,
  root: string | undefined,
): Promise<TextFiles | undefined> {
  const read = await jsonReader(files, root)
  return read && readAll(read, await readHead(read))
}

/** Reads a file of a folder; resolves with `undefined` if it is missing. */
type ReadFile = (name: string, maxBytes?: number) => Promise<unknown>

async function jsonReader(
  { folder }: ModelFiles,
  root: string | undefined,
): Promise<ReadFile | undefined> {
  const names = await readdir(folder)
  if (!names.includes(TOKENIZER_FILE)) return undefined
  return async (name, maxBytes = MAX_CONFIG_BYTES) =>
    names.includes(name.split('/', 1)[0] ?? '')
      ? readJson(folder, name, { root, maxBytes })
      : undefined
}

/** The files that decide the task. They are small; a tokenizer may not be. */
async function readHead(read: ReadFile): Promise<Pick<TextFiles, 'config' | 'modules'>> {
  const config = fieldsOf(await read('config.json'))
  const modules = listOf(await read('modules.json')).map(
    (one) => textOf(fieldsOf(one)['type'])?.split('.').at(-1) ?? '',
  )
  return { config, modules }
}

async function readAll(
  read: ReadFile,
  head: Pick<TextFiles, 'config' | 'modules'>,
): Promise<TextFiles> {
  return {
    ...head,
    tokenizer: await read(TOKENIZER_FILE, MAX_TOKENIZER_BYTES),
    tokenizerConfig: fieldsOf(await read('tokenizer_config.json')),
    sentenceConfig: fieldsOf(await read('sentence_bert_config.json')),
    prompts: fieldsOf(await read('config_sentence_transformers.json')),
    pooling: fieldsOf(await read('1_Pooling/config.json')),
  }
}

function taskOf(config: Fields, modules: readonly string[]): TaskName | undefined {
  const byModule = MODULE_TASKS.find(([module]) => modules.includes(module))
  if (byModule !== undefined) return byModule[1]
  const [architecture] = listOf(config['architectures'])
  const name = textOf(architecture) ?? ''
  const task = ARCHITECTURES.find(([suffix]) => name.endsWith(suffix))?.[1]
  return task === 'text-classification' && labelCount(config) === 1 ? 'text-ranking' : task
}

function labelCount(config: Fields): number | undefined {
  const { id2label, num_labels } = config
  return isFields(id2label) ? Object.keys(id2label).length : numberOf(num_labels)
}

/** The labels in the order of classes, from `id2label`; `undefined` if there are none. */
export function labelsOf(config: Fields): readonly string[] | undefined {
  const { id2label } = config
  if (!isFields(id2label)) return undefined
  return Object.keys(id2label).map((_, index) => {
    const label = id2label[String(index)]
    if (typeof label === 'string') return printableLabel(label)
    throw invalid(`config.json: id2label has no text for class ${index}.`)
  })
}

async function readJson(folder: string, name: string, limits: ReadLimits): Promise<unknown> {
  const text = await readTextInside(path.join(folder, name), limits).catch((cause: unknown) => {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw cause instanceof ServerError ? cause : invalid(`${name} cannot be read.`, cause)
  })
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw invalid(`${name} is not JSON.`, cause)
  }
}

/** Returns the error that ends the load. */
export function invalid(message: string, cause?: unknown): ServerError {
  return new ServerError('InvalidModelException', message, cause === undefined ? {} : { cause })
}
