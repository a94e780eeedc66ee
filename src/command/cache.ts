/** `onnxd cache list` and `onnxd cache clear`: the files of the weight cache. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { parseConfig } from '../config/parse.ts'
import { ENTRY_FILE } from '../contract/shared-weights.ts'
import { ConfigError, messageOf } from '../errors.ts'
import { CacheFolder } from '../models/weights/cache-folder.ts'
import { cacheFolderOf } from '../models/weights/cache-path.ts'
import { listEntries } from '../models/weights/entry-list.ts'
import type { StoredEntry } from '../models/weights/entry-list.ts'

const MIB = 1024 * 1024
const SHOWN_KEY = 12

export const CACHE_USAGE = `Usage: onnxd cache list|clear [--cache-dir DIR]

  onnxd cache list     list the models whose weights are in the cache
  onnxd cache clear    remove them; servers that run keep what they have loaded

The folder is found as onnxd serve does it: --cache-dir, --state-dir, --config, or the variables.
`

/**
 * Runs the command and returns what it prints.
 * @throws ConfigError for arguments that are not known; Error if the folder cannot be used.
 */
export async function runCache([action, ...rest]: readonly string[]): Promise<string> {
  if (action !== 'list' && action !== 'clear') throw new ConfigError(CACHE_USAGE)
  const { config, models } = parseConfig(rest, process.env)
  if (models.length > 0) throw new ConfigError(`unexpected argument ${String(models[0])}`)
  const folder = cacheFolderOf(config, process.env)
  const entries = await listEntries(folder)
  if (action === 'list') return listText(folder, await Promise.all(entries.map(lineIn(folder))))
  if (entries.length > 0) await clear(folder)
  return `${entries.length} ${entries.length === 1 ? 'entry' : 'entries'} removed from ${folder}\n`
}

async function clear(place: string): Promise<void> {
  const folder = await CacheFolder.open(place)
  try {
    await folder.clear()
  } finally {
    await folder.close()
  }
}

function listText(folder: string, lines: readonly string[]): string {
  return lines.length === 0
    ? `${folder} has no entries\n`
    : `${folder}\n${lines.map((line) => `  ${line}\n`).join('')}`
}

function lineIn(folder: string): (entry: StoredEntry) => Promise<string> {
  return async ({ key, bytes, usedAt }) => {
    const size = `${(bytes / MIB).toFixed(1)} MiB`.padStart(12)
    const source = await sourceOf(path.join(folder, key, ENTRY_FILE))
    return `${key.slice(0, SHOWN_KEY)} ${size}  last used ${usedAt.toISOString()}  ${source}`
  }
}

/** The name of the original model, with no character that would change the terminal. */
async function sourceOf(file: string): Promise<string> {
  try {
    const record: unknown = JSON.parse(await readFile(file, 'utf8'))
    const isObject = typeof record === 'object' && record !== null
    return JSON.stringify(isObject && 'source' in record ? record.source : 'unknown')
  } catch (error) {
    return `damaged: ${messageOf(error, 100)}`
  }
}
