/** Lists the files that the workers of a model read. */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { BUILT_IN_HANDLERS } from '../../model-folder/files.ts'
import type { ModelFiles } from '../../model-folder/files.ts'
import { MODEL_SETTINGS_FILE, PREPROCESSOR_FILE } from '../../model-folder/paths.ts'
import { externalLocations, locationsIn } from './external-data.ts'
import { isNumber } from './model-name.ts'

/** The folder that Python writes beside the code of a model. */
const WRITTEN_BY_WORKERS = '__pycache__'
const HANDLER_EXTENSIONS = ['', '.js', '.mjs', '.cjs', '.ts', '.mts', '.py']

/**
 * Lists the files at `modelPath`. For a folder these are all files in it that are not hidden. A
 * single `.onnx` file may lie beside other models, so only the files that it and its settings name
 * are listed.
 * @param labels The label file; empty if there is none.
 * @returns Absolute paths, sorted.
 * @throws Error of the file system.
 */
export async function listModelFiles(
  modelPath: string,
  { folder, settings, settingsFolder }: ModelFiles,
  labels: string,
): Promise<string[]> {
  const isFolder = folder === modelPath
  const parent = isNumber(path.basename(folder)) ? [path.dirname(folder)] : []
  const isListed = isFolder && settingsFolder === folder
  const named = isListed ? [] : filesIn(settingsFolder, [MODEL_SETTINGS_FILE, PREPROCESSOR_FILE])
  for (const base of [folder, settingsFolder, ...parent]) {
    if (labels !== '') named.push(...filesIn(base, [labels]))
  }
  if (!isFolder) named.push(...(await namedByFile(modelPath, settings.handler ?? '')))
  const existing = await Promise.all(named.map(isFile))
  const files = isFolder ? await treeOf(folder) : [modelPath]
  return [...new Set([...files, ...named.filter((_, index) => existing[index])])].toSorted()
}

/**
 * Lists the files that onnxruntime maps into the memory of its process: weights outside the `.onnx`
 * file. Writing to them while a worker runs changes its results.
 * @param contents What was already read, by path.
 */
export async function listMappedFiles(
  { onnxFile }: ModelFiles,
  contents: ReadonlyMap<string, Buffer>,
): Promise<string[]> {
  if (onnxFile === undefined) return []
  const content = contents.get(onnxFile)
  const locations =
    content === undefined ? await externalLocations(onnxFile) : await locationsIn(content)
  return filesIn(path.dirname(onnxFile), locations)
}

/**
 * Returns the `.onnx` file and the settings that were chosen at a path, as text. A new file in the
 * folder may change that choice.
 */
export function choiceOf({ onnxFile, settings, settingsFolder, manifest }: ModelFiles): string {
  return JSON.stringify([onnxFile, settings, settingsFolder, manifest ?? null])
}

/** Weights and code beside a single `.onnx` file. */
async function namedByFile(file: string, handler: string): Promise<string[]> {
  const [module = ''] = handler.split(':', 1)
  const code = BUILT_IN_HANDLERS.includes(handler)
    ? []
    : HANDLER_EXTENSIONS.map((extension) => module + extension)
  return filesIn(path.dirname(file), [...(await externalLocations(file)), ...code])
}

/** Returns the paths of names in a folder, without those that lead out of it. */
function filesIn(folder: string, names: readonly string[]): string[] {
  return names
    .map((name) => path.resolve(folder, name))
    .filter((location) => location.startsWith(folder + path.sep))
}

/**
 * Returns all readable files in a folder, also through links. A folder that contains itself is read
 * once.
 */
async function treeOf(folder: string, seen = new Set<string>()): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const { name } = entry
    if (name.startsWith('.') || name === WRITTEN_BY_WORKERS) continue
    const location = path.join(folder, name)
    const kind = entry.isSymbolicLink() ? await stat(location).catch(() => undefined) : entry
    if (kind?.isFile() === true) found.push(location)
    if (kind?.isDirectory() !== true) continue
    seen.add(await inodeOf(folder))
    const inode = await inodeOf(location)
    if (seen.has(inode)) continue
    found.push(...(await treeOf(location, seen.add(inode))))
  }
  return found
}

async function inodeOf(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true })
  return `${dev} ${ino}`
}

async function isFile(file: string): Promise<boolean> {
  const stats = await stat(file).catch(() => undefined)
  return stats?.isFile() === true
}
