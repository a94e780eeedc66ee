/** What the server knows about the model of a step. */
import { messageOf } from '../../errors.ts'
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import { asHandlerMetadata, asPipeline } from '../model-metadata.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { StepTensors } from './derive-types.ts'

type Step = PipelineSettings['steps'][number]

/** A version of a model that is a step. */
export interface StepVersion {
  readonly prepared: Pick<PreparedModel, 'settings' | 'handler' | 'hasCode'>
  readonly metadata: unknown
  /** As in `VersionStatus`. */
  readonly hasWorker: boolean
  /** @param learned Is changed: versions are added. */
  learnMetadata(learned?: LearnedVersions): Promise<void>
}

/** Versions that were asked for their metadata, for one request. */
export type LearnedVersions = Map<StepVersion, Promise<void>>

/** The models of the server. */
export interface StepSource {
  /**
   * Returns a version or label; the default version if none is given.
   * @throws ServerError 404, or 503 while it is being loaded.
   */
  get(name: string, version?: string): StepVersion
}

/** The model of a step, as it is served at this moment. */
export interface FoundStep {
  /** Absent if it is not served. */
  readonly version: StepVersion | undefined
  readonly metadata: unknown
  /** Why it is not served. */
  readonly problem: string | undefined
}

/** What is known about a step. */
export interface StepFacts {
  /** Absent if the tensors of the model are not known, or not yet. */
  readonly tensors?: StepTensors
  /** Why the model cannot be described, as a sentence. */
  readonly problem?: string
  /** Why the model takes JSON only, as a sentence. */
  readonly jsonOnly?: string
}

/** Never throws. */
export function findStep({ model, version: wanted }: Step, source: StepSource): FoundStep {
  try {
    const version = source.get(model, wanted)
    return { version, metadata: version.metadata, problem: undefined }
  } catch (error) {
    return { version: undefined, metadata: undefined, problem: messageOf(error) }
  }
}

/** Asks a version for its metadata, unless that was done: it may be a step of several pipelines. */
export function learnOnce(version: StepVersion, learned: LearnedVersions): Promise<void> {
  const known = learned.get(version)
  if (known !== undefined) return known
  const learning = version.learnMetadata(learned)
  learned.set(version, learning)
  return learning
}

/** @param where How messages name the step. */
export function factsOf({ version, metadata, problem }: FoundStep, where: string): StepFacts {
  if (version === undefined) return { problem: `${where}: ${problem}` }
  const { hasCode } = version.prepared
  const known = asHandlerMetadata(metadata)
  if (metadata === undefined && !hasCode)
    return { problem: `${where}: The model is not loaded, so its inputs and outputs are unknown.` }
  const { ownResponses, text, handler, inputs = [], outputs = [] } = known ?? {}
  const inner = asPipeline(metadata)
  if (inner?.jsonOnly !== undefined)
    return { jsonOnly: `${where} takes JSON only. ${inner.jsonOnly}` }
  if (inner !== undefined && known === undefined)
    return { problem: `${where}: ${inner.problem ?? 'Its inputs and outputs are not known.'}` }
  // Only the built-in codecs say how requests share runs. Other code may know no binary tensors.
  const isOpaque = known === undefined || (hasCode && inner === undefined && !isJoining(metadata))
  if (isOpaque || ownResponses === true)
    return { jsonOnly: `${where} has a handler of its own, which takes JSON only.` }
  const kind = { takesImages: handler === 'image', takesTexts: text !== undefined }
  return { tensors: { inputs, outputs, ...kind } }
}

function isJoining(metadata: unknown): boolean {
  return typeof metadata === 'object' && metadata !== null && 'batching' in metadata
}

/** Returns the names of pipelines that call one another in a circle, from `name` on. */
export function circleOf(
  name: string,
  pipeline: PipelineSettings,
  source: StepSource,
): readonly string[] | undefined {
  const seen = new Set<string>()
  const search = (steps: PipelineSettings['steps']): readonly string[] | undefined => {
    for (const { model, version } of steps) {
      if (model === name) return [model]
      const key = JSON.stringify([model, version])
      if (seen.has(key)) continue
      seen.add(key)
      const inner = pipelineNamed(model, version, source)
      const rest = inner && search(inner.steps)
      if (rest !== undefined) return [model, ...rest]
    }
    return undefined
  }
  const rest = search(pipeline.steps)
  return rest && [name, ...rest]
}

/** The result of {@link circleOf} as a sentence. */
export function circleText(names: readonly string[]): string {
  return `Models call one another in a circle: ${names.join(' → ')}.`
}

function pipelineNamed(
  name: string,
  version: string | undefined,
  source: StepSource,
): PipelineSettings | undefined {
  try {
    return pipelineOf(source.get(name, version).prepared)
  } catch {
    return undefined
  }
}
