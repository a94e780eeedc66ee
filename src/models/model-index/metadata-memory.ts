/** What is known about the inputs and outputs of one model version. */
import { createHash } from 'node:crypto'
import path from 'node:path'
import type { EffectiveSettings } from '../effective-settings.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { IndexedModel, ModelIndex } from './model-index.ts'

/**
 * Metadata that a worker returned, else what the index has from an earlier run of the server or
 * from another HTTP process.
 */
export class MetadataMemory {
  readonly #index: ModelIndex | undefined
  readonly #model: () => IndexedModel | undefined
  #metadata: unknown
  #isLearned = false
  /** Revision of the index in which the model was not found. */
  #missedIn: number | undefined

  /** @param index Absent without a state folder and other HTTP processes. */
  constructor(prepared: PreparedModel, settings: EffectiveSettings, index: ModelIndex | undefined) {
    // Other models are described by the load at the start.
    this.#index = settings.loadsOnDemand ? index : undefined
    this.#model = () => indexedModel(prepared, settings)
  }

  /** Whether a worker of this run has returned it. */
  get isLearned(): boolean {
    return this.#isLearned
  }

  /** Returns the same object until {@link record} is called. */
  get metadata(): unknown {
    const revision = this.#index?.revision
    if (this.#metadata !== undefined || revision === this.#missedIn) return this.#metadata
    const model = this.#model()
    this.#metadata = model && this.#index?.find(model)
    // The index is read in `find`, which does not change its revision.
    this.#missedIn = revision
    return this.#metadata
  }

  /** @param metadata From a worker; `undefined` if it has none. */
  record(metadata: unknown): void {
    if (metadata === undefined) return
    this.#metadata = metadata
    this.#isLearned = true
    if (this.#index === undefined) return
    const model = this.#model()
    if (model !== undefined) this.#index.record(model, metadata)
  }
}

/** Returns `undefined` for a model whose metadata may differ although no file does. */
function indexedModel(
  { name, version, hasCode, files, modelPath, temporaryFolder, settings, reshapes }: PreparedModel,
  { handler, batchSize, maxBatchSize, joinBatches }: EffectiveSettings,
): IndexedModel | undefined {
  if (hasCode || files === undefined) return undefined
  // The folder of an unpacked archive has another name in each run.
  const place =
    temporaryFolder === undefined ? modelPath : path.relative(temporaryFolder, modelPath)
  const options = [place, handler, batchSize, maxBatchSize, joinBatches]
  const text = JSON.stringify([files.fingerprint, options, settings, reshapes])
  return {
    name,
    version,
    bytes: files.bytes,
    hash: createHash('sha256').update(text).digest('hex'),
  }
}
