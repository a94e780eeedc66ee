/** Checks that a server would read an archive as it was meant. */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { foreignFileError, refuseOrtFormat } from '../../../contract/foreign-model.ts'
import { ConfigError, ServerError, messageOf } from '../../../errors.ts'
import { PIPELINE_HANDLER } from '../../../model-folder/pipeline.ts'
import { externalLocations } from '../../../models/sources/external-data.ts'
import { discard, prepareFromArgument } from '../../../models/sources/prepare.ts'
import type { PreparedModel } from '../../../models/sources/prepare.ts'
import type { ArchivedFile } from './file-list.ts'

/** What the archive should say. */
export interface ExpectedModel {
  readonly name: string
  readonly version: string
  readonly handler: string
}

/**
 * Reads the directory of an archive with the rules of the server, and compares what it finds.
 * @throws ServerError if the server would reject it; ConfigError if a file of the model wins over
 * a flag.
 */
export async function checkArchive(
  file: string,
  { name, version, handler }: ExpectedModel,
  signal: AbortSignal,
): Promise<void> {
  const found = await readArchive(file, signal)
  if (found.name !== name) throw wins('modelName', found.name, 'name')
  if (found.version !== version) throw wins('version', found.version, 'version')
  // A pipeline is served without the handler of the manifest.
  if (found.handler !== handler && found.handler !== PIPELINE_HANDLER)
    throw wins('handler', found.handler, 'handler')
}

/**
 * Checks that the weights outside of an `.onnx` file are in the archive.
 * @param onnxFile Absolute path of the `.onnx` file.
 * @throws ServerError `InvalidModelException` that names the missing file.
 */
export async function checkExternalData(
  onnxFile: string,
  files: readonly ArchivedFile[],
): Promise<void> {
  const real = await realpath(onnxFile)
  const own = files.find(({ source }) => source === real)
  if (own === undefined) return
  const folder = path.posix.dirname(own.name)
  for (const location of await externalLocations(onnxFile)) {
    const name = path.posix.join(folder, location)
    if (files.some((file) => file.name === name)) continue
    const text = `${own.name} needs the file ${JSON.stringify(location)}, which is not in its folder.`
    throw new ServerError('InvalidModelException', text)
  }
}

/**
 * Checks by their first bytes that files which a built-in handler loads are ONNX models.
 * @throws ServerError `InvalidModelException` that names the file.
 */
export function checkNetworks(files: readonly ArchivedFile[]): void {
  for (const { name, source } of files) {
    if (typeof source !== 'string') continue
    try {
      refuseOrtFormat(source)
      const problem = foreignFileError(source)
      if (problem !== undefined) throw problem
    } catch (error) {
      const text = `${JSON.stringify(name)}: ${messageOf(error)}`
      throw new ServerError('InvalidModelException', text, { cause: error })
    }
  }
}

async function readArchive(file: string, signal: AbortSignal): Promise<PreparedModel> {
  const temporaryRoot = await mkdtemp(path.join(tmpdir(), 'onnxd-files-'))
  try {
    const options = { modelStore: undefined, temporaryRoot, allowLocalPaths: true, signal }
    // Without unpacking: only the files that decide how the model is served are read.
    const [found] = await prepareFromArgument(file, { ...options, unpacksLater: true })
    if (found === undefined) throw new Error('The archive has no model.')
    await discard(found)
    return found
  } finally {
    await rm(temporaryRoot, { recursive: true, force: true })
  }
}

function wins(key: string, value: string, flag: string): ConfigError {
  return new ConfigError(
    `model.json sets ${key} to ${JSON.stringify(value)}, which wins over --${flag}. Change model.json.`,
  )
}
