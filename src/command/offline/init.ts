/** `onnxd init`: writes a `model.json`, and explains every key that fits the model. */
import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { KindGuard } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { ConfigSchema } from '../../config/config.ts'
import { ConfigError, fileProblem } from '../../errors.ts'
import { MODEL_SETTINGS_FILE, isNetworkFile, isOwnNetwork } from '../../model-folder/paths.ts'
import { ModelSettings } from '../../model-folder/settings.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { fieldsText } from '../terminal/table.ts'
import { shapeText } from '../terminal/tensor-table.ts'
import { summarize } from './onnx-summary.ts'
import type { DeclaredTensor } from './onnx-summary.ts'

const LABEL_FILES = ['labels.txt', 'classes.txt', 'synset.txt']
const IMAGE_CHANNELS = [1, 3, 4]
const MIN_PIXELS = 8
/** A batch of this size fits into memory for nearly every model that has a batch dimension. */
const BATCH_SIZE = 8

/** @throws ConfigError if the folder has no model, or already has a `model.json`. */
export async function initModel(input: CommandInput): Promise<Outcome> {
  const [folder = '.'] = input.args
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new ConfigError(`Cannot read the folder ${folder}: ${fileProblem(cause)}.`, { cause })
  })
  const file = path.join(folder, MODEL_SETTINGS_FILE)
  const networks = names.filter(isNetworkFile)
  const model = networks.find(isOwnNetwork) ?? networks[0]
  if (model === undefined)
    throw new ConfigError(`The folder ${folder} has no .onnx file. Name the folder of a model.`)
  const chosen = settingsFor(names, model, networks.length, path.join(folder, model))
  const content = Object.fromEntries(Object.entries(chosen).map(([key, { value }]) => [key, value]))
  try {
    const flag = input.flags.force === true ? 'w' : 'wx'
    await writeFile(file, `${JSON.stringify(content, null, 2)}\n`, { flag })
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    const problem = exists
      ? `${file} exists already. Replace it with --force.`
      : `Cannot write ${file}: ${fileProblem(cause)}.`
    throw new ConfigError(problem, { cause })
  }
  const lines = Object.entries(chosen).map(([key, { value, why }]): [string, string] => [
    key,
    `${JSON.stringify(value)}: ${why}`,
  ])
  const others = Object.entries(ModelSettings.properties)
    .filter(([key]) => !Object.hasOwn(chosen, key))
    .map(([key, schema]): [string, string] => [key, plainText(descriptionOf(key, schema))])
  const { terminal } = input
  return {
    data: { file, settings: content },
    text: `${file} is written.\n\n${fieldsText(lines, terminal, '  ')}\nKeys that you can add\n${fieldsText(others, terminal, '  ')}\nTry it: onnxd run ${folder} -i FILE\n`,
  }
}

interface Chosen {
  readonly value: unknown
  readonly why: string
}

function settingsFor(
  names: readonly string[],
  model: string,
  models: number,
  file: string,
): Record<string, Chosen> {
  const chosen: Record<string, Chosen> = {}
  if (models > 1) chosen.model = { value: model, why: 'the folder has several .onnx files' }
  const { inputs } = summarize(file)
  const [first, ...others] = inputs
  const labels = names.find((name) => LABEL_FILES.includes(name))
  if (first !== undefined && others.length === 0 && isImage(first)) {
    const why = `the input ${first.name} ${shapeText(first)} looks like an image; the server decodes and resizes it`
    chosen.handler = { value: 'image', why }
  }
  if (labels !== undefined) {
    chosen.labels = { value: labels, why: 'responses name the classes with the lines of this file' }
  }
  const canBatch = inputs.length > 0 && inputs.every(({ shape }) => shape[0] === -1)
  chosen.batchSize = canBatch
    ? {
        value: BATCH_SIZE,
        why: 'every input has an open first dimension, so requests can share a run',
      }
    : {
        value: 1,
        why: 'not every input has an open first dimension, so each request has its own run',
      }
  return chosen
}

/** `[N, 3, 224, 224]` or `[N, 224, 224, 3]`. */
function isImage({ shape, datatype }: DeclaredTensor): boolean {
  if (shape.length !== 4 || !['FP32', 'FP16', 'UINT8'].includes(datatype)) return false
  const [, second = 0, third = 0, last = 0] = shape
  const isSide = (size: number): boolean => size === -1 || size >= MIN_PIXELS
  const isFirst = IMAGE_CHANNELS.includes(second) && isSide(third) && isSide(last)
  return isFirst || (IMAGE_CHANNELS.includes(last) && isSide(second) && isSide(third))
}

/** The text of the key; of the setting of the server with this name; or the keys of the object. */
function descriptionOf(key: string, schema: TSchema): string {
  const server: Readonly<Record<string, TSchema>> = ConfigSchema.properties
  const text = schema.description ?? server[key]?.description
  if (text !== undefined) return text
  const members = KindGuard.IsObject(schema) ? Object.keys(schema.properties) : []
  return `An object with ${members.join(', ')}. See docs/model-files.md.`
}

/** Descriptions are Markdown for the documentation. */
function plainText(description: string): string {
  return description.replaceAll('`', '')
}
