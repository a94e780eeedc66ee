/** Unpacks an archive into its own temporary folder and finds the model in it. */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, realpath, rm } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { MANIFEST_FILE } from '../../model-folder/paths.ts'
import { DEFAULT_ARCHIVE_LIMITS, extractArchive } from '../archives/extract.ts'
import type { ArchiveLimits } from '../archives/extract.ts'
import { findVersions } from './layout.ts'
import type { FoundVersion } from './layout.ts'
import { isNumber } from './model-name.ts'
import type { WishedRuntime } from './runtime.ts'
import { realPathInside } from './safe-files.ts'

/** Entries that macOS adds to its archives. */
const FOREIGN_NAMES = ['__MACOSX', '.DS_Store']

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
  { temporaryRoot, limits, signal, wished }: UnpackOptions,
): Promise<UnpackedVersion> {
  await mkdir(temporaryRoot, { recursive: true, mode: 0o700 })
  const temporaryFolder = path.join(await realpath(temporaryRoot), `model-${randomUUID()}`)
  // The real path is opened without following links, so that it cannot be replaced by a link.
  const realFile = await realPathInside(file, root)
  const allLimits = { ...DEFAULT_ARCHIVE_LIMITS, ...limits }
  await extractArchive(realFile, temporaryFolder, allLimits, signal, root)
  try {
    const [found, ...others] = await findVersions(
      await topFolder(temporaryFolder),
      true,
      temporaryFolder,
      wished,
    )
    if (found === undefined || others.length > 0) {
      throw new ServerError(
        'InvalidModelException',
        `An archive must contain one version of a model; this one contains ${others.length + 1}.`,
      )
    }
    return { found, temporaryFolder }
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
