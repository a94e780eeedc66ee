import os from 'node:os'
import path from 'node:path'
import type { Config } from '../../config/config.ts'

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

function homeOfUser(): string {
  try {
    return os.homedir()
  } catch {
    return ''
  }
}
