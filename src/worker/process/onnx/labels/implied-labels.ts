/** Labels that come with a model although no setting names them. */
import path from 'node:path'
import { ServerError } from '../../../../errors.ts'
import { ProtoError, withProtoFile } from '../../../../formats/proto-file.ts'
import type { ProtoFile, Range } from '../../../../formats/proto-file.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import { readTextInside } from '../../../../model-folder/read-inside.ts'
import { codeOf } from '../../../../system/process-identity.ts'
import { LabelError, labelsIn } from './label-file.ts'

const CONFIG_FILE = 'config.json'
const MAX_CONFIG_BYTES = 8 * 1024 * 1024
/** Names that Transformers writes for classes without names. */
const PLACEHOLDER = /^LABEL_\d+$/
/** Field numbers of `ModelProto` and `StringStringEntryProto`. */
const METADATA = 14
const KEY = 1
const VALUE = 2
const NAMES_KEY = 'names'
const MAX_KEY_BYTES = 256
/** An entry of a Python dictionary or list, such as `0: 'person'`. */
const ENTRY = /(?:(\d+)\s*:\s*)?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/g

/**
 * Returns `id2label` or `label2id` of a `config.json` of Transformers beside the model, otherwise
 * `names` in the metadata of the `.onnx` file, which Ultralytics writes. Files of another form are
 * ignored, because they are not meant for this server; the log of the worker says why.
 * @param root Real path that contains every file; `undefined` for no limit.
 */
export async function impliedLabels(
  { folder, onnxFile }: Pick<ModelFiles, 'folder' | 'onnxFile'>,
  root?: string,
): Promise<readonly string[] | undefined> {
  const found = (await labelsOfConfig(folder, root)) ?? (onnxFile && labelsOfMetadata(onnxFile))
  return found === undefined || found === '' || found.every((label) => PLACEHOLDER.test(label))
    ? undefined
    : found
}

async function labelsOfConfig(
  folder: string,
  root: string | undefined,
): Promise<readonly string[] | undefined> {
  try {
    const file = path.join(folder, CONFIG_FILE)
    const config: unknown = JSON.parse(
      await readTextInside(file, { root, maxBytes: MAX_CONFIG_BYTES }),
    )
    if (typeof config !== 'object' || config === null) return undefined
    const labels: unknown = Reflect.get(config, 'id2label') ?? Reflect.get(config, 'label2id')
    return labels === undefined ? undefined : labelsIn(labels)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    const reason =
      error instanceof ServerError
        ? error.message
        : error instanceof LabelError
          ? `its list of labels ${error.message}.`
          : 'it cannot be read as JSON.'
    console.log(`No labels are taken from ${CONFIG_FILE}: ${reason}`)
    return undefined
  }
}

function labelsOfMetadata(onnxFile: string): readonly string[] | undefined {
  try {
    return withProtoFile(onnxFile, (file) => {
      for (const field of file.fields(file.whole)) {
        if (field.number !== METADATA || textIn(file, field, KEY, MAX_KEY_BYTES) !== NAMES_KEY)
          continue
        return labelsOfPython(textIn(file, field, VALUE, MAX_CONFIG_BYTES) ?? '')
      }
      return undefined
    })
  } catch (error) {
    if (error instanceof ProtoError || error instanceof LabelError) return undefined
    throw error
  }
}

/** The labels in the text of a Python dictionary or list: `{0: 'person', 1: 'bicycle'}`. */
export function labelsOfPython(text: string): readonly string[] | undefined {
  const entries = [...text.matchAll(ENTRY)].map(([, number, quoted = ''], place) => [
    number ?? String(place),
    quoted.slice(1, -1).replaceAll(/\\(.)/gs, '$1'),
  ])
  return entries.length === 0 ? undefined : labelsIn(Object.fromEntries(entries))
}

function textIn(
  file: ProtoFile,
  message: Range,
  wanted: number,
  limit: number,
): string | undefined {
  for (const field of file.fields(message)) {
    if (field.number === wanted) return file.bytes(field, limit).toString('utf8')
  }
  return undefined
}
