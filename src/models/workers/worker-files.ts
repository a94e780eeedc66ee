/** The files that a worker loads: how they are checked, and which are from the weight cache. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { SharedWeights } from '../../contract/shared-weights.ts'
import type { WorkerSpec } from '../../worker/host/worker-spec.ts'
import { isPresent } from '../weights/entry-state.ts'
import type { VersionWeights } from '../weights/weight-cache.ts'

/** What a worker's start has to do with its files. */
export interface WorkerFiles {
  /** Checks the files of the model, see {@link WorkerSpec}. */
  readonly check?: WorkerSpec['checkFiles']
  /** Chooses files of the weight cache; absent if there is no cache. */
  readonly weights?: VersionWeights | undefined
}

/** Name of the file, in a worker's folder, that says which files of the weight cache it loads. */
export const WEIGHTS_FILE = 'weights.json'

/**
 * Checks of the files before and after the load, and after a crash.
 * @param folderOf Returns the folder of the worker's process. A process that takes the place of a
 * spare one has another folder, and loads the model's own files.
 */
export function fileChecks(
  folderOf: () => string,
  { check, weights }: WorkerFiles,
): Pick<WorkerSpec, 'checkFiles' | 'hasChangedWeights'> {
  if (weights === undefined) return { checkFiles: check }
  let used: SharedWeights | undefined
  return {
    checkFiles: async () => {
      const [checkAgain, shared] = await Promise.all([check?.(), weights.forWorker()])
      const file = path.join(folderOf(), WEIGHTS_FILE)
      if (shared !== undefined && (await wasWritten(file, shared))) used = shared
      return async () => checkAgain?.()
    },
    hasChangedWeights: () => used !== undefined && !isPresent(used),
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
