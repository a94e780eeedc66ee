/** The progress of loads: for the log every few seconds, and for a person at a terminal. */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from 'pino'
import type { Load } from './loads.ts'

/** Interval of log lines about a load. */
const LOG_MS = 5000

/** What a load does: find or unpack files, prepare weights for the cache, start workers. */
export type LoadPhase = 'files' | 'weights' | 'workers'

/** One model version that is being loaded. */
export interface LoadProgress {
  readonly name: string
  /** Absent until its files are prepared. */
  readonly version: string | undefined
  /** File or folder; absent until its files are prepared. */
  readonly modelPath: string | undefined
  /** Milliseconds since the load began. */
  readonly elapsedMs: number
  readonly phase: LoadPhase
}

/** Returns the progress of each version of a load. */
export function progressOf({ models, versions, elapsedMs }: Load): LoadProgress[] {
  if (versions.length === 0) {
    return models.map(({ name, version }) => ({
      name,
      version,
      modelPath: undefined,
      elapsedMs,
      phase: 'files',
    }))
  }
  return versions.map(({ name, version, prepared, weights }) => ({
    name,
    version,
    modelPath: prepared.modelPath,
    elapsedMs,
    // With a reason, the weights are prepared after the load.
    phase: weights?.state === 'pending' && weights.reason === undefined ? 'weights' : 'workers',
  }))
}

/** Logs the progress of a load at intervals until it ends. */
export function logProgress(load: Load, log: Logger): void {
  const timer = setInterval(() => {
    for (const { name, version, elapsedMs, phase, modelPath } of progressOf(load)) {
      const seconds = Math.round(elapsedMs / 1000)
      const write = (bytes?: number): void =>
        log.info({ model: name, version, phase, seconds, bytes }, 'model loading')
      if (modelPath === undefined) write()
      else modelBytes(modelPath).then(write, () => write())
    }
  }, LOG_MS).unref()
  const end = (): void => clearInterval(timer)
  load.done.then(end, end)
}

/** Size of a model's file, or of the files in its folder, in bytes. */
export async function modelBytes(modelPath: string): Promise<number> {
  const found = await stat(modelPath)
  if (!found.isDirectory()) return found.size
  const names = await readdir(modelPath)
  const stats = await Promise.all(names.map((name) => stat(path.join(modelPath, name))))
  return stats.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0)
}
