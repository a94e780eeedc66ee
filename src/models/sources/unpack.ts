/** Unpacks an archive into its own temporary folder and finds the model in it. */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, realpath, rm } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { MANIFEST_FILE, MODEL_SETTINGS_FILE } from '../../model-folder/paths.ts'
import { DEFAULT_ARCHIVE_LIMITS, extractArchive, outlineArchive } from '../archives/extract.ts'
import type { ArchiveLimits } from '../archives/extract.ts'
import { MODEL_CONFIG_FILE } from './config-pbtxt/model-config.ts'
import { findVersions } from './layout.ts'
import type { FoundVersion } from './layout.ts'
import { isNumber } from './model-name.ts'
import type { WishedRuntime } from './runtime.ts'
import { realPathInside } from './safe-files.ts'

/** Entries that macOS adds to its archives. */
const FOREIGN_NAMES = ['__MACOSX', '.DS_Store']
/** The names of the files that `findVersions` reads. Of the others it only needs name and size. */
const DECIDING_FILES = [path.basename(MANIFEST_FILE), MODEL_SETTINGS_FILE, MODEL_CONFIG_FILE]

/** The only version in an archive, and its folder, which the caller must remove later. */
export interface UnpackedVersion {
  readonly found: FoundVersion
  readonly temporaryFolder: string
}

/** Destination and limits of an archive. The signal aborts unpacking. */
export interface UnpackOptions {
  readonly temporaryRoot: string
  readonly limits?: Partial<ArchiveLimits>
  readonly signal?: AbortSignal | undefined
  readonly wished: WishedRuntime
}

/**
 * Unpacks `file` below `temporaryRoot`, which is created for this user only if it is missing. If
 * the archive has a single folder at the top, the model is searched in it. After a failure no file
 * is left.
 * @param root Real path that must contain `file`; `undefined` for no limit.
 * @throws ServerError as `extractArchive` and `findVersions`, or if there are several versions.
 */
export async function unpackVersion(
  file: string,
  root: string | undefined,
  options: UnpackOptions,
): Promise<UnpackedVersion> {
  const temporaryFolder = await newFolder(options)
  await unpackInto(temporaryFolder, file, root, options)
  return { found: await findOnly(temporaryFolder, options.wished), temporaryFolder }
}

/** A version that was found in an archive without unpacking it. */
export interface OutlinedVersion extends UnpackedVersion {
  /** Size of the unpacked files. */
  readonly bytes: number
}

/**
 * As {@link unpackVersion}, but reads only the files that decide how the model is served. Nothing
 * is in the folder until {@link unpackInto} is called.
 * @returns `undefined` for an archive that has to be read completely, a `.tar.gz`.
 */
export async function outlineVersion(
  file: string,
  root: string | undefined,
  options: UnpackOptions,
): Promise<OutlinedVersion | undefined> {
  const temporaryFolder = await newFolder(options)
  const realFile = await realPathInside(file, root)
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, ...options.limits }
  const isWanted = (name: string): boolean => DECIDING_FILES.includes(path.basename(name))
  const bytes = await outlineArchive(realFile, temporaryFolder, limits, isWanted, root)
  if (bytes === undefined) return undefined
  const found = await findOnly(temporaryFolder, options.wished)
  await rm(temporaryFolder, { recursive: true, force: true })
  return { found, temporaryFolder, bytes }
}

/**
 * Unpacks `file` into `folder`, which must not exist yet. After a failure no file is left.
 * @throws ServerError as `extractArchive`.
 */
export async function unpackInto(
  folder: string,
  file: string,
  root: string | undefined,
  { temporaryRoot, limits, signal }: Omit<UnpackOptions, 'wished'>,
): Promise<void> {
  // A program that cleans up temporary folders may have removed it.
  await mkdir(temporaryRoot, { recursive: true, mode: 0o700 })
  // The real path is opened without following links, so that it cannot be replaced by a link.
  const realFile = await realPathInside(file, root)
  await extractArchive(realFile, folder, { ...DEFAULT_ARCHIVE_LIMITS, ...limits }, signal, root)
}

async function newFolder({ temporaryRoot }: UnpackOptions): Promise<string> {
  await mkdir(temporaryRoot, { recursive: true, mode: 0o700 })
  return path.join(await realpath(temporaryRoot), `model-${randomUUID()}`)
}

/** Removes the folder if it does not have exactly one version. */
async function findOnly(temporaryFolder: string, wished: WishedRuntime): Promise<FoundVersion> {
  try {
    const top = await topFolder(temporaryFolder)
    const [found, ...others] = await findVersions(top, true, temporaryFolder, wished)
    if (found !== undefined && others.length === 0) return found
    throw new ServerError(
      'InvalidModelException',
      `An archive must contain one version of a model; this one contains ${others.length + 1}.`,
    )
  } catch (error) {
    await rm(temporaryFolder, { recursive: true, force: true })
    throw error
  }
}

async function topFolder(folder: string): Promise<string> {
  const entries = await readdir(folder, { withFileTypes: true })
  const [only, ...others] = entries.filter(({ name }) => !FOREIGN_NAMES.includes(name))
  const isWrapper = only?.isDirectory() === true && others.length === 0 && !isNumber(only.name)
  return isWrapper && only.name !== path.dirname(MANIFEST_FILE)
    ? path.join(folder, only.name)
    : folder
}
