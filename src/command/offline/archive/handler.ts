/** Finds the code that a handler names, and adds it to an archive. */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../../errors.ts'
import { BUILT_IN_HANDLERS } from '../../../model-folder/files.ts'
import type { FileList } from './file-list.ts'

const EXTENSIONS = ['', '.py', '.js', '.mjs', '.cjs', '.ts', '.mts']

/** Handlers that are part of TorchServe's package. */
const TORCHSERVE_HANDLERS: readonly string[] = [
  'base_handler',
  'dali_image_classifier',
  'image_classifier',
  'image_segmenter',
  'object_detector',
  'text_classifier',
]

/** A handler as the manifest names it. */
export interface ArchivedHandler {
  readonly handler: string
  readonly kind: 'built in' | 'of TorchServe' | 'code'
}

/**
 * Returns the handler for the manifest. A file outside of the model's folder is added at the top of
 * the archive.
 * @param wished `FILE` or `FILE:FUNCTION`, relative to the model's folder or the current one, with
 * or without the extension; or the name of a handler that needs no file.
 * @throws ServerError `InvalidModelException` if there is no such file.
 */
export async function findHandler(wished: string, list: FileList): Promise<ArchivedHandler> {
  if (BUILT_IN_HANDLERS.includes(wished)) return { handler: wished, kind: 'built in' }
  const colon = wished.indexOf(':')
  const given = colon === -1 ? wished : wished.slice(0, colon)
  const entry = colon === -1 ? '' : wished.slice(colon)
  const module = path.normalize(given)
  const own = EXTENSIONS.some((extension) => list.has(module + extension))
  if (own) return { handler: module + entry, kind: 'code' }
  for (const extension of EXTENSIONS) {
    const file = path.resolve(module + extension)
    const stats = await stat(file).catch(() => undefined)
    if (stats?.isFile() !== true) continue
    const name = await list.addFile(file)
    return { handler: name + entry, kind: 'code' }
  }
  if (TORCHSERVE_HANDLERS.includes(wished)) return { handler: wished, kind: 'of TorchServe' }
  const text = `The model has no file for its handler ${JSON.stringify(wished.slice(0, 100))}, neither in its folder nor in the current one.`
  throw new ServerError('InvalidModelException', text)
}
