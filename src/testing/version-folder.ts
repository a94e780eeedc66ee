/** Finds a model of a folder with numbered versions. */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { MANIFEST_FILE, isNetworkFile, isOwnNetwork } from '../model-folder/paths.ts'

/** Names of versions, as in a model store. */
const NUMBER = /^\d{1,18}$/

/**
 * The folder of the version that a test loads: the highest number, unless the folder is a model
 * itself.
 */
export async function versionFolder(location: string): Promise<string> {
  if (!(await stat(location)).isDirectory()) return location
  const entries = await readdir(location, { withFileTypes: true })
  if (entries.some(({ name }) => name === path.dirname(MANIFEST_FILE))) return location
  const [newest] = entries
    .filter((entry) => entry.isDirectory() && NUMBER.test(entry.name))
    .map(({ name }) => name)
    .toSorted((one, other) => Number(BigInt(other) - BigInt(one)))
  return newest === undefined ? location : path.join(location, newest)
}

/** The name of a model at a path, as the server gives it. */
export function modelNameOf(location: string): string {
  const base = path.basename(location)
  if (NUMBER.test(base) || isOwnNetwork(base)) return modelNameOf(path.dirname(location))
  return isNetworkFile(base) ? path.parse(base).name : base
}
