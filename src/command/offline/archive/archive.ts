/** `onnxd archive`: writes a model archive with the same bytes for the same files. */
import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { ConfigError, ServerError, fileProblem } from '../../../errors.ts'
import { MANIFEST_FILE } from '../../../model-folder/paths.ts'
import { isArchive } from '../../../models/sources/model-name.ts'
import type { CommandInput, Outcome } from '../../program/outcome.ts'
import { sizeText } from '../../terminal/units.ts'
import { archiveOutcome } from './archive-text.ts'
import type { MadeArchive } from './archive-text.ts'
import { checkArchive, checkExternalData, checkNetworks } from './check-archive.ts'
import { FileList } from './file-list.ts'
import type { ArchivedFile } from './file-list.ts'
import { readWishes } from './flags.ts'
import type { ArchiveWishes } from './flags.ts'
import { findHandler } from './handler.ts'
import type { ArchivedHandler } from './handler.ts'
import { manifestOf, modelMember } from './manifest.ts'
import { NO_MODEL, withModel } from './source.ts'
import type { ModelSource } from './source.ts'
import { writeArchive } from './write-archive.ts'
import type { WrittenArchive } from './write-archive.ts'

/** The version of a model that names none. */
const DEFAULT_VERSION = '1.0'

/**
 * @throws ConfigError for flags and files that cannot be used; ServerError if a server would not
 * load the archive.
 */
export async function archiveModel(input: CommandInput): Promise<Outcome> {
  const wishes = readWishes(input)
  const list = new FileList()
  const { model, handler } = wishes
  const { signal } = input
  if (model === undefined) return archiveSource(NO_MODEL, wishes, list, input)
  const except = await realpath(wishes.output ?? '').catch(() => undefined)
  return withModel(model, { list, handler, except, signal }, (source) =>
    archiveSource(source, wishes, list, input),
  )
}

async function archiveSource(
  source: ModelSource,
  wishes: ArchiveWishes,
  list: FileList,
  input: CommandInput,
): Promise<Outcome> {
  const files = await addNamedFiles(source, wishes, list)
  const handler = await chooseHandler(source, wishes, list)
  const name = wishes.name ?? modelMember(source.manifest, 'modelName') ?? source.name
  if (name === undefined) throw new ConfigError('The model has no name. Set one with --name.')
  const version =
    wishes.version ??
    source.version ??
    source.settings.version ??
    modelMember(source.manifest, 'modelVersion') ??
    DEFAULT_VERSION
  const manifest = manifestOf(source.manifest, {
    name,
    version,
    handler,
    runtime: wishes.runtime,
    files,
  })
  list.setContent(MANIFEST_FILE, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`))
  if (source.onnxFile !== undefined) await checkExternalData(source.onnxFile, list.sorted)
  if (handler.kind === 'built in') checkNetworks(await loadedFiles(source, list))
  const output = await outputOf(wishes, name)
  const expected = { name, version, handler: handler.handler }
  const check = (file: string): Promise<void> => checkArchive(file, expected, input.signal)
  const made: MadeArchive = {
    file: output,
    name,
    version,
    handler,
    runtime: String(manifest['runtime']),
    files: list.sorted,
    leftOut: list.leftOut,
    ...(await writeFiles({ output, isCompressed: !wishes.isStored, check }, list, input)),
  }
  return archiveOutcome(made, input.terminal)
}

/** Adds the files of the flags. Returns the files of a Python handler by their manifest keys. */
async function addNamedFiles(
  { weights }: ModelSource,
  { extraFiles, handlerFiles }: ArchiveWishes,
  list: FileList,
): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  const named = { ...(weights !== undefined && { serializedFile: weights }), ...handlerFiles }
  for (const [key, file] of Object.entries(named)) files[key] = await list.addFile(file)
  for (const file of extraFiles) {
    const stats = await stat(file).catch((cause: unknown) => {
      throw new ConfigError(`Cannot read ${file}: ${fileProblem(cause)}.`, { cause })
    })
    if (!stats.isDirectory()) await list.addFile(file)
    else await list.addFolder({ folder: path.resolve(file), root: await realpath(file) })
  }
  return files
}

/** `model.json` wins over the manifest, as in the server. */
async function chooseHandler(
  { settings, manifest, onnxFile }: ModelSource,
  { handler }: ArchiveWishes,
  list: FileList,
): Promise<ArchivedHandler> {
  const own = handler ?? settings.handler ?? modelMember(manifest, 'handler') ?? ''
  if (own !== '') return findHandler(own, list)
  // MMS and TorchServe require a handler. This one is the default of onnxd.
  if (onnxFile !== undefined || settings.pipeline !== undefined)
    return { handler: 'onnx', kind: 'built in' }
  throw new ServerError(
    'InvalidModelException',
    'The model has neither an .onnx file nor a handler. Name its code with --handler.',
  )
}

/** The file that the server would load. The steps of a pipeline are models of their own. */
async function loadedFiles({ onnxFile }: ModelSource, list: FileList): Promise<ArchivedFile[]> {
  const real = onnxFile === undefined ? undefined : await realpath(onnxFile)
  return list.sorted.filter(({ source }) => real !== undefined && source === real)
}

/** @throws ConfigError if the archive exists, or a server would not recognize it by its name. */
async function outputOf(
  { output = '.', isReplaced }: ArchiveWishes,
  name: string,
): Promise<string> {
  if (output === '') throw new ConfigError('-o needs the name of a file or a folder, not "".')
  const stats = await stat(output).catch(() => undefined)
  const isFolder = stats?.isDirectory() === true || output.endsWith('/')
  const file = isFolder ? path.join(output, `${name}.mar`) : output
  if (!isArchive(file) || /\.(?:tar\.gz|tgz)$/i.test(file))
    throw new ConfigError(`The name of an archive ends with .mar, .zip or .model, not as ${file}.`)
  const folder = await stat(path.dirname(file)).catch(() => undefined)
  if (folder?.isDirectory() !== true)
    throw new ConfigError(`Cannot write ${file}: its folder does not exist.`)
  const before = isFolder ? await stat(file).catch(() => undefined) : stats
  if (before !== undefined && !isReplaced)
    throw new ConfigError(`${file} exists already. Replace it with --force.`)
  return file
}

interface Writing {
  readonly output: string
  readonly isCompressed: boolean
  readonly check: (file: string) => Promise<void>
}

async function writeFiles(
  writing: Writing,
  list: FileList,
  { progress, signal }: CommandInput,
): Promise<WrittenArchive> {
  const files = list.sorted
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  const onRead = (bytes: number): void => {
    done += bytes
    progress(`archiving, ${sizeText(done)} of ${sizeText(total)}`)
  }
  const output = path.resolve(writing.output)
  try {
    return await writeArchive({ ...writing, output, files, onRead, signal })
  } catch (error) {
    const isTooSmall = error instanceof ServerError && /times its size/.test(error.message)
    if (!writing.isCompressed || !isTooSmall) throw error
    // A server takes an archive that unpacks to so much more for an attack.
    done = 0
    const isCompressed = false
    return writeArchive({ ...writing, isCompressed, output, files, onRead, signal })
  }
}
