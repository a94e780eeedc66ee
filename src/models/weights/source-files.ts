/** Finds the files whose weights can be cached, and remembers their SHA-256. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Config } from '../../config/config.ts'
import { bytesOf, stateOf, textOfState } from '../../contract/shared-weights.ts'
import type { SourceFile, WeightsJob } from '../../contract/shared-weights.ts'
import { BUILT_IN_HANDLERS, readModelFiles } from '../../model-folder/files.ts'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import { externalLocations } from '../sources/external-data.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { HASHES_FOLDER } from './entry-list.ts'

const MIB = 1024 * 1024
/** Maximum number of files with a SHA-256. */
const MAX_HASHES = 1000
/**
 * The SHA-256 of a file that was written less than this ago is not remembered: a second write may
 * leave the same times.
 */
const SETTLED_MS = 2000

/** The files of a model, and the options that the cached files depend on. */
export interface CacheableModel extends Pick<
  WeightsJob,
  'sources' | 'threads' | 'graphOptimization'
> {
  /** A text that is different for different files and options. */
  readonly id: string
}

/**
 * Lists what an entry is made of.
 * @returns A reason, as a sentence, if the model has to be loaded without the cache.
 */
export async function findCacheable(
  model: PreparedModel,
  { handler, threads }: EffectiveSettings,
  config: Config,
): Promise<CacheableModel | string> {
  if (config.weightCache === 'off') return 'The weight cache is off.'
  if (pipelineOf(model) !== undefined) return 'A pipeline has no weights of its own.'
  if (model.runtime !== 'node' || model.hasCode || !BUILT_IN_HANDLERS.includes(handler))
    return 'The model has a custom handler.'
  const files = await readModelFiles(model.modelPath, handler || undefined, model.files?.root)
  const { onnxFile, settings } = files
  if (onnxFile === undefined) return 'The model has no .onnx file.'
  const providers = settings.providers ?? config.providers
  if (config.gpus > 0 || providers.some((name) => name !== 'cpu'))
    return 'The model does not run on the CPU alone.'
  const folder = path.dirname(onnxFile)
  const locations = (await externalLocations(onnxFile)).toSorted()
  const sources = await Promise.all(
    [onnxFile, ...locations.map((name) => path.resolve(folder, name))].map((file) =>
      sourceOf(file, folder),
    ),
  )
  const bytes = bytesOf(sources)
  if (bytes < config.weightCacheMinMib * MIB) return 'The model is too small to gain from it.'
  if (bytes > config.cacheSize * MIB) return 'The model is larger than the cache may be.'
  const graphOptimization = settings.graphOptimization ?? config.graphOptimization
  const states = sources.map(({ path: file, state }) => `${file} ${textOfState(state)}`)
  const id = JSON.stringify([graphOptimization, ...states])
  return { sources, threads: settings.threads ?? threads, graphOptimization, id }
}

/** Adds the SHA-256 of the files that were hashed before. */
export async function withHashes(
  sources: readonly SourceFile[],
  folder: string,
): Promise<readonly SourceFile[]> {
  return Promise.all(
    sources.map(async (source) => {
      const text = await readFile(hashFile(folder, source), 'latin1').catch(() => '')
      const [sha256] = /^[0-9a-f]{64}$/.exec(text) ?? []
      return sha256 === undefined ? source : { ...source, sha256 }
    }),
  )
}

/** Remembers the SHA-256 of files that have not been written to for a while. */
export async function rememberHashes(
  sources: readonly SourceFile[],
  hashes: readonly string[],
  folder: string,
): Promise<void> {
  const parent = path.join(folder, HASHES_FOLDER)
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    for (const name of (await readdir(parent)).slice(MAX_HASHES)) await rm(path.join(parent, name))
    for (const [index, source] of sources.entries()) {
      const changedMs = Number(BigInt(source.state.ctimeNs) / 1_000_000n)
      const hash = hashes[index]
      const isNew = source.sha256 === undefined && hash !== undefined
      if (!isNew || Date.now() - changedMs < SETTLED_MS) continue
      await writeFile(hashFile(folder, source), hash, { mode: 0o600 })
    }
  } catch {
    // Without it the file is hashed again at the next start.
  }
}

function hashFile(folder: string, { state }: SourceFile): string {
  const name = createHash('sha256').update(textOfState(state)).digest('hex')
  return path.join(folder, HASHES_FOLDER, name)
}

async function sourceOf(file: string, folder: string): Promise<SourceFile> {
  const state = stateOf(await stat(file, { bigint: true }))
  return { path: file, name: path.relative(folder, file), state }
}
