/** Finds and loads the ONNX model in the folder of a handler. */
import { readFile, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError, messageOf } from '../../../../errors.ts'
import { pathInside, readModelFiles } from '../../../../model-folder/files.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import { nestedNetwork } from '../../../../model-folder/nested-network.ts'
import {
  MODEL_SETTINGS_FILE,
  NETWORK_EXTENSION,
  isNetworkFile,
} from '../../../../model-folder/paths.ts'
import type { LoadContext } from '../../handler.ts'
import type { OpenModel } from '../../onnx/open-model.ts'

/**
 * Loads the `.onnx` file with the settings of the model. Returns `undefined` if the folder has
 * none, or if `model.json` says that the handler loads it itself. The code of the built-in handler
 * is imported only for a folder with a model.
 * @throws ServerError `InvalidModelException`, or `InsufficientMemoryException` when memory ran
 * out.
 */
export async function openHandlerModel(context: LoadContext): Promise<OpenModel | undefined> {
  if (!(await mayHaveModel(context.modelPath))) return undefined
  const files = await findFiles(context)
  const { onnxFile, settings } = files
  if (onnxFile === undefined || settings.handlerModel === false) return undefined
  const isForImages = settings.image !== undefined || settings.task !== undefined
  const { openModel } = await import('../../onnx/open-model.ts')
  try {
    return await openModel({ ...context, handler: isForImages ? 'image' : 'onnx' }, files)
  } catch (cause) {
    const type = cause instanceof ServerError ? cause.type : 'InvalidModelException'
    const name = JSON.stringify(path.basename(onnxFile))
    const text = `${name} cannot be loaded for the handler: ${messageOf(cause)} Set "handlerModel": false in model.json if the handler does not use it.`
    throw new ServerError(type, text, { cause })
  }
}

/** Reading `model.json` costs 15 MB of memory, so a folder without a model is found out before. */
async function mayHaveModel(modelPath: string): Promise<boolean> {
  if (!(await stat(modelPath)).isDirectory()) return isNetworkFile(modelPath)
  const names = await readdir(modelPath)
  if (names.some(isNetworkFile) || names.includes('onnx')) return true
  if (!names.includes(MODEL_SETTINGS_FILE)) return false
  const text = await readFile(path.join(modelPath, MODEL_SETTINGS_FILE), 'utf8')
  return text.includes(NETWORK_EXTENSION)
}

async function findFiles({ modelPath, options }: LoadContext): Promise<ModelFiles> {
  const files = await readModelFiles(modelPath, undefined, options.root || undefined)
  if (files.onnxFile !== undefined) return files
  const { folder, manifest } = files
  const named = manifest?.model?.serializedFile ?? ''
  const onnxFile = isNetworkFile(named)
    ? pathInside(folder, named)
    : await nestedNetwork(folder, await readdir(folder))
  return { ...files, onnxFile }
}
