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
import { printableJson } from './terminal/terminal.ts'

const MIB = 1024 * 1024
const SHOWN_KEY = 12

const USAGE = 'Usage: onnxd cache list|clear [--cache-dir DIR] [--json]'

export const CACHE_USAGE = `${USAGE}

  onnxd cache list     list the models whose weights are in the cache
  onnxd cache clear    remove them; servers that run keep what they have loaded

The folder is found as onnxd serve does it: --cache-dir, --state-dir, --config,
or the variables.
`

/**
 * Runs the command and returns what it prints.
 * @throws ConfigError for arguments that are not known; Error if the folder cannot be used.
 */
export async function runCache([action, ...rest]: readonly string[]): Promise<string> {
  if (action !== 'list' && action !== 'clear') {
    const problem = action === undefined ? 'An argument is missing.' : `Unknown action ${action}.`
    throw new ConfigError(`${problem} ${USAGE}`)
  }
  const isJson = rest.includes('--json')
  const { config, models } = parseConfig(
    rest.filter((argument) => argument !== '--json'),
    process.env,
  )
  if (models.length > 0) throw new ConfigError(`Unexpected argument ${String(models[0])}. ${USAGE}`)
  const folder = cacheFolderOf(config, process.env)
  const entries = await listEntries(folder)
  if (action === 'list' && isJson)
    return jsonText({ folder, entries: await described(folder, entries) })
  if (action === 'list') return listText(folder, await Promise.all(entries.map(lineIn(folder))))
  if (entries.length > 0) await clear(folder)
  if (isJson) return jsonText({ folder, removed: entries.length })
  return `${entries.length} ${entries.length === 1 ? 'entry' : 'entries'} removed from ${folder}\n`
}

function jsonText(data: unknown): string {
  return `${printableJson(JSON.stringify(data, null, 2))}\n`
}

async function described(folder: string, entries: readonly StoredEntry[]): Promise<unknown[]> {
  return Promise.all(
    entries.map(async ({ key, bytes, usedAt }) => {
      const source: unknown = await sourceOf(path.join(folder, key, ENTRY_FILE))
      return { key, bytes, usedAt, source }
    }),
  )
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
    return `${key.slice(0, SHOWN_KEY)} ${size}  last used ${usedAt.toISOString()}  ${JSON.stringify(source)}`
  }
}

/** The name of the original model. */
async function sourceOf(file: string): Promise<string> {
  try {
    const record: unknown = JSON.parse(await readFile(file, 'utf8'))
    const isObject = typeof record === 'object' && record !== null
    return isObject && 'source' in record ? String(record.source) : 'unknown'
  } catch (error) {
    return `damaged: ${messageOf(error, 100)}`
  }
}
