/** The files that a worker loads: how they are checked, and which are from the weight cache. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { SharedWeights } from '../../contract/shared-weights.ts'
import { WEIGHTS_UNUSED } from '../../contract/worker-lines.ts'
import type { OnLine } from '../../worker/host/child-process/worker-process.ts'
import type { WorkerSpec } from '../../worker/host/worker-spec.ts'
import type { SettingOverrides } from '../effective-settings.ts'
import { isPresent } from '../weights/entry-state.ts'

/** What a worker's start has to do with its files. */
export interface WorkerFiles {
  /** Checks the files of the model, see {@link WorkerSpec}. */
  readonly check?: WorkerSpec['checkFiles']
  /**
   * Chooses files of the weight cache, or `undefined` for the model's own; absent if there is no
   * cache.
   */
  readonly weights?: (() => Promise<SharedWeights | undefined>) | undefined
  /** Begin of the name of the file with the profile of the operators; absent if there is none. */
  readonly profile?: string
  /** Settings that override those of the model's files, for measurements. */
  readonly overrides?: Partial<SettingOverrides>
}

/** Name of the file, in a worker's folder, that says which files of the weight cache it loads. */
export const WEIGHTS_FILE = 'weights.json'

/**
 * Checks of the files before and after the load, and after a crash.
 * @param onLine Receives the output of the worker.
 * @param folderOf Returns the folder of the worker's process. A process that takes the place of a
 * spare one has another folder, and loads the model's own files.
 */
export function fileChecks(
  folderOf: () => string,
  { check, weights }: WorkerFiles,
  onLine: OnLine,
): Pick<WorkerSpec, 'checkFiles' | 'hasChangedWeights' | 'hasSharedWeights' | 'onLine'> {
  if (weights === undefined) return { checkFiles: check, onLine }
  let used: SharedWeights | undefined
  let usedIn = ''
  let isRejected = false
  return {
    checkFiles: async () => {
      const [checkAgain, shared] = await Promise.all([check?.(), weights()])
      usedIn = folderOf()
      const file = path.join(usedIn, WEIGHTS_FILE)
      if (shared !== undefined && (await wasWritten(file, shared))) used = shared
      return async () => checkAgain?.()
    },
    hasChangedWeights: () => used !== undefined && !isPresent(used),
    hasSharedWeights: () => used !== undefined && usedIn === folderOf() && !isRejected,
    onLine: (line, stream) => {
      isRejected ||= stream === 'stdout' && line.startsWith(WEIGHTS_UNUSED)
      onLine(line, stream)
    },
  }
}

/** Returns false if the disk is full, for example. Then the worker loads the original files. */
async function wasWritten(file: string, { model, weights }: SharedWeights): Promise<boolean> {
  try {
    await writeFile(file, JSON.stringify({ model, weights }), { mode: 0o644 })
    return true
  } catch {
    return false
  }
}
