import os from 'node:os'
import path from 'node:path'
import type { Config } from '../../config/config.ts'
import type { Confinement } from '../../worker/host/confinement.ts'
import { letPass } from '../../worker/host/shared-files.ts'
import { CacheFolder } from './cache-folder.ts'

/**
 * Returns the path of the cache folder: the setting, else a folder in the state folder, else one in
 * the cache folder of the user, or of the machine for a user without a home.
 */
export function cacheFolderOf(
  { cacheDir, stateDir }: Config,
  environment: NodeJS.ProcessEnv,
): string {
  if (cacheDir !== '') return path.resolve(cacheDir)
  if (stateDir !== '') return path.join(path.resolve(stateDir), 'cache')
  const { XDG_CACHE_HOME = '', HOME = homeOfUser() } = environment
  // The specification of these variables says that a relative path is ignored.
  if (path.isAbsolute(XDG_CACHE_HOME)) return path.join(XDG_CACHE_HOME, 'onnxd')
  return path.isAbsolute(HOME) ? path.join(HOME, '.cache', 'onnxd') : '/var/cache/onnxd'
}

/**
 * Opens the folder. Workers of another user have to pass through a private state folder that
 * contains it.
 * @throws CacheFolderError
 */
export async function openCacheFolder(
  folder: string,
  { config, confinement: { user } }: { readonly config: Config; readonly confinement: Confinement },
): Promise<CacheFolder> {
  const opened = await CacheFolder.open(folder, user)
  const stateDir = config.stateDir === '' ? undefined : path.resolve(config.stateDir)
  const isInside = stateDir !== undefined && folder.startsWith(stateDir + path.sep)
  if (user !== undefined && isInside) await letPass(stateDir, user.gid)
  return opened
}

function homeOfUser(): string {
  try {
    return os.homedir()
  } catch {
    return ''
  }
}
