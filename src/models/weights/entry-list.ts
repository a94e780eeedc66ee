/** Lists the entries of the weight cache. */
import { lstat, readdir } from 'node:fs/promises'
import path from 'node:path'
import { ENTRY_FILE, MODEL_FILE, WEIGHTS_FILE } from '../../contract/shared-weights.ts'

const ENTRY = /^[0-9a-f]{64}$/
/** Folder of the SHA-256 of source files, beside the entries. */
export const HASHES_FOLDER = 'sources'
/** The files of an entry besides its record. */
export const ENTRY_FILES = [MODEL_FILE, WEIGHTS_FILE] as const

/** An entry that is in the folder. */
export interface StoredEntry {
  readonly key: string
  readonly bytes: number
  readonly usedAt: Date
}

/** Lists the entries of a folder, the least recently used first. Empty if there is no folder. */
export async function listEntries(folder: string): Promise<readonly StoredEntry[]> {
  const names = await readdir(folder).catch(() => [])
  const entries = await Promise.all(
    names.filter((name) => ENTRY.test(name)).map((key) => storedEntry(folder, key)),
  )
  return entries.toSorted((one, other) => one.usedAt.getTime() - other.usedAt.getTime())
}

async function storedEntry(folder: string, key: string): Promise<StoredEntry> {
  const sizes = await Promise.all(
    ENTRY_FILES.map(async (name) => {
      const stats = await lstat(path.join(folder, key, name)).catch(() => undefined)
      return stats?.size ?? 0
    }),
  )
  const record = await lstat(path.join(folder, key, ENTRY_FILE)).catch(() => undefined)
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  return { key, bytes, usedAt: record?.mtime ?? new Date(0) }
}
