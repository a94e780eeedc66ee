/** Finds and checks the entry of a model in the weight cache, or builds it. */
import { statSync } from 'node:fs'
import path from 'node:path'
import { ENTRY_FORMAT, bytesOf, isSameState, stateOf } from '../../../contract/shared-weights.ts'
import type { SourceFile, WeightsJob, WeightsResult } from '../../../contract/shared-weights.ts'
import { messageOf, withoutFolders } from '../../../errors.ts'
import { UnfitError, build } from './build.ts'
import { readDigest } from './digest.ts'
import { checkEntry } from './entry.ts'
import { cpuText, keyOf, runtimeVersion } from './key.ts'

/** The front-end reads lines up to a limit. Without hashes it asks for them again. */
const MAX_REPORTED_HASHES = 100
const SOURCE_CHANGED = 'The files of the model were written to meanwhile.'

/** Never rejects: what fails becomes the reason to load the model without the cache. */
export async function doJob(job: WeightsJob): Promise<WeightsResult> {
  let hashes: readonly string[]
  try {
    hashes = job.sources.map(hashOf)
  } catch (error) {
    return { outcome: 'unfit', reason: reasonOf(error) }
  }
  const key = keyOf(job, hashes)
  const found = checkEntry({ folder: path.join(job.entries, key), key, owner: job.owner })
  const damaged = typeof found === 'string' ? { key, problem: found } : undefined
  const isShort = hashes.length <= MAX_REPORTED_HASHES
  const known = { ...(isShort && { hashes }), ...(damaged !== undefined && { damaged }) }
  if (typeof found === 'object') return { ...known, outcome: 'found', key, shared: found }
  if (!job.mayBuild) return { ...known, outcome: 'missing' }
  try {
    return { ...known, ...(await buildEntry(job, key)) }
  } catch (error) {
    return { ...known, outcome: 'unfit', reason: reasonOf(error) }
  }
}

async function buildEntry(job: WeightsJob, key: string): Promise<WeightsResult> {
  const { shared, digests } = await build(job)
  // What was built must be what was hashed.
  if (!job.sources.every(isUnchanged)) throw new UnfitError(SOURCE_CHANGED)
  const record = {
    format: ENTRY_FORMAT,
    key,
    source: job.sources[0]?.name ?? '',
    sourceBytes: bytesOf(job.sources),
    createdAt: new Date().toISOString(),
    onnxruntime: runtimeVersion(),
    cpu: cpuText(),
    files: digests,
  }
  return { outcome: 'built', key, record, shared }
}

function hashOf(source: SourceFile): string {
  if (source.sha256 !== undefined) return source.sha256
  const { sha256, state } = readDigest(source.path, { followsLinks: true })
  if (!isSameState(state, source.state)) throw new UnfitError(SOURCE_CHANGED)
  return sha256
}

function isUnchanged(source: SourceFile): boolean {
  return isSameState(source.state, stateOf(statSync(source.path, { bigint: true })))
}

function reasonOf(error: unknown): string {
  return withoutFolders(messageOf(error, 500))
}
