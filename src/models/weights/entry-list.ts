/** Lists the entries of the weight cache. */
import { lstat, readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { ENTRY_FILE, MODEL_FILE, WEIGHTS_FILE } from '../../contract/shared-weights.ts'

const ENTRY = /^[0-9a-f]{64}$/
/** Folder of the SHA-256 of source files, beside the entries. */
export const HASHES_FOLDER = 'sources'
/** Maximum number of records that are read to find out whether a model may have an entry. */
const MAX_READ_RECORDS = 500
const MAX_RECORD_BYTES = 64 * 1024
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

/**
 * Whether the folder may have an entry for files of this size. A new model is loaded without
 * computing its SHA-256 first if the answer is no.
 */
export async function mayHaveEntry(folder: string, sourceBytes: number): Promise<boolean> {
  const names = await readdir(folder).catch(() => [])
  const keys = names.filter((name) => ENTRY.test(name))
  if (keys.length > MAX_READ_RECORDS) return true
  const sizes = await Promise.all(keys.map((key) => sourceBytesOf(path.join(folder, key))))
  return sizes.some((size) => size === undefined || size === sourceBytes)
}

/** Returns `undefined` for an entry that does not say it, or that cannot be read. */
async function sourceBytesOf(entry: string): Promise<number | undefined> {
  try {
    const file = path.join(entry, ENTRY_FILE)
    const stats = await lstat(file)
    if (!stats.isFile() || stats.size > MAX_RECORD_BYTES) return undefined
    const record: unknown = JSON.parse(await readFile(file, 'utf8'))
    if (typeof record !== 'object' || record === null || !('sourceBytes' in record))
      return undefined
    return typeof record.sourceBytes === 'number' ? record.sourceBytes : undefined
  } catch {
    return undefined
  }
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
