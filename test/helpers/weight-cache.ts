/** The weight cache in the test's own process, with real processes that check and build entries. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { pino } from 'pino'
import { completeConfig } from '../../src/config/config.ts'
import type { Settings } from '../../src/config/config.ts'
import { resolveSettings, valuesOf } from '../../src/models/effective-settings.ts'
import { prepareFromArgument } from '../../src/models/sources/prepare.ts'
import type { PreparedModel } from '../../src/models/sources/prepare.ts'
import type { CachedWeights, PreparedWeights } from '../../src/models/weights/version-weights.ts'
import { WeightCache } from '../../src/models/weights/weight-cache.ts'
import { MemoryGuard } from '../../src/models/workers/memory-guard.ts'
import { temporaryFolder } from './server.ts'
import type { Cleanup, LogLine } from './server.ts'

const UNCONFINED = {
  user: undefined,
  unshare: undefined,
  hasSetpriv: false,
  maxOpenFiles: 0,
  memoryMib: 0,
}

/** A cache of one server's life. */
export interface TestCache {
  readonly cache: WeightCache
  readonly logLines: readonly LogLine[]
  /** Prepares a model that the server finds at `file`. */
  prepare(file: string, signal?: AbortSignal): Promise<PreparedWeights>
  /** As `prepare`, for a model that must be shared. */
  share(file: string): Promise<CachedWeights>
  settingsOf(model: PreparedModel): ReturnType<typeof valuesOf>
  modelAt(file: string): Promise<PreparedModel>
}

/**
 * Opens a cache in `cacheDir`. It is closed after the test.
 * @param memory Says whether a build fits in memory.
 */
export function openCache(
  t: Cleanup,
  cacheDir: string,
  settings: Settings = {},
  memory = new MemoryGuard(),
): TestCache {
  const logLines: LogLine[] = []
  const config = completeConfig({
    cacheDir,
    weightCacheMinMib: 0,
    threads: 1,
    loadTimeout: 60,
    ...settings,
  })
  const write = (line: string): void => void logLines.push({ ...(JSON.parse(line) as object) })
  const log = pino({ level: 'debug', base: null }, { write })
  const cache = WeightCache.create({
    config,
    environment: process.env,
    confinement: UNCONFINED,
    memory,
    log,
  })
  assert.ok(cache !== undefined)
  t.after(() => cache.close())
  const temporaryRoot = temporaryFolder(t)
  const modelAt = async (file: string): Promise<PreparedModel> => {
    const source = { modelStore: undefined, allowLocalPaths: true, temporaryRoot }
    const [model] = await prepareFromArgument(file, source)
    assert.ok(model !== undefined)
    return model
  }
  const settingsOf = (model: PreparedModel): ReturnType<typeof valuesOf> =>
    valuesOf(resolveSettings(model, {}, config, {}))
  const prepare = async (
    file: string,
    signal = new AbortController().signal,
  ): Promise<PreparedWeights> => {
    const model = await modelAt(file)
    return cache.prepare(model, settingsOf(model), signal)
  }
  return {
    cache,
    logLines,
    prepare,
    share: async (file) => {
      const weights = await prepare(file)
      assert.ok('key' in weights, JSON.stringify(weights))
      return weights
    },
    settingsOf,
    modelAt,
  }
}

/** Names of the entries in a cache folder, sorted. */
export function entriesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .toSorted()
}

/** Names of what is being built or removed in a cache folder. */
export function unfinishedIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('tmp-'))
}
