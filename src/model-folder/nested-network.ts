/** Finds the `.onnx` file in the folder `onnx`, where exporters of Hugging Face put it. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { codeOf } from '../system/process-identity.ts'

const FOLDER = 'onnx'
const TOKENIZER = 'tokenizer.json'
const CONFIG = 'config.json'
const DEFAULT_NAME = 'model.onnx'

/**
 * Returns the path of `onnx/model.onnx` in a folder with `config.json` or `tokenizer.json`. A file
 * with another name, such as `model_int8.onnx`, is used only if it is the only one.
 * @param names Names in the folder.
 */
export async function nestedNetwork(
  folder: string,
  names: readonly string[],
): Promise<string | undefined> {
  if (!names.includes(FOLDER) || !(names.includes(CONFIG) || names.includes(TOKENIZER))) {
    return undefined
  }
  const nested = path.join(folder, FOLDER)
  const files = await readdir(nested).catch((error: unknown) => {
    if (codeOf(error) === 'ENOTDIR') return []
    throw error
  })
  const networks = files.filter((name) => name.endsWith('.onnx') && !name.startsWith('.'))
  const chosen = networks.includes(DEFAULT_NAME) ? DEFAULT_NAME : networks[0]
  const isClear = chosen === DEFAULT_NAME || networks.length === 1
  return chosen !== undefined && isClear ? path.join(nested, chosen) : undefined
}
