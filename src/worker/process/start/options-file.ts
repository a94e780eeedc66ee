import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { ServerError, messageOf } from '../../../errors.ts'
import { isNetworkFile } from '../../../model-folder/paths.ts'
import type { WorkerOptions } from '../handler.ts'
import { parseWorkerOptions } from './options.ts'

/**
 * Reads the options of a model, removes their file, and makes the folder of the model at
 * `modelPath` the working directory. onnxd's front-end may start a worker before it knows the
 * model, so it writes the options into a file just before the load.
 * @throws ServerError `InvalidModelException` when the folder cannot be entered.
 * @throws UsageError when the options are malformed.
 */
export function takeOptions(optionsFile: string, modelPath: string): WorkerOptions {
  const text = readFileSync(optionsFile, 'utf8')
  rmSync(optionsFile)
  const options = parseWorkerOptions(text)
  const folder = isNetworkFile(modelPath) ? path.dirname(modelPath) : modelPath
  try {
    process.chdir(folder)
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : messageOf(cause)
    const problem = `The files of the model cannot be read (${reason}).`
    throw new ServerError('InvalidModelException', problem, { cause })
  }
  // Names of files in the worker's own folder.
  const place = (name: string): string =>
    name === '' ? '' : path.resolve(path.dirname(optionsFile), name)
  return { ...options, weights: place(options.weights), profile: place(options.profile) }
}
