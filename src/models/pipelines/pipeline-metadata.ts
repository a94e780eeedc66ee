/** The metadata of a pipeline, which follows from the models of its steps at this moment. */
import { ServerError } from '../../errors.ts'
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import { namesOf, pipelineOf } from '../../model-folder/pipeline.ts'
import type { PipelineParts } from '../model-metadata.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { declaredTensors } from './declared-tensors.ts'
import type { DeclaredTensors } from './declared-tensors.ts'
import { deriveTypes, stepName } from './derive-types.ts'
import { circleOf, circleText, factsOf, findStep, learnOnce } from './step-facts.ts'
import type { FoundStep, LearnedVersions, StepFacts, StepSource } from './step-facts.ts'

/**
 * The metadata that was derived since a caller began to ask, which ends in the same turn. The same
 * pipeline may be a step of many others, so without this the time would grow with the power of the
 * depth.
 */
let derived: Map<PipelineMetadata, PipelineDescription> | undefined

/** Has the members of `MetadataMemory`. */
export class PipelineMetadata {
  /** A worker is never asked: it would ask the front-end. */
  readonly isLearned = true
  readonly #model: Pick<PreparedModel, 'name' | 'version'>
  readonly #pipeline: PipelineSettings
  readonly #declared: DeclaredTensors | undefined
  readonly #source: StepSource
  /** Versions, their metadata and problems, from which the metadata was derived. */
  #basis: readonly unknown[] = []
  #metadata: PipelineDescription | undefined
  #revision = 0

  private constructor(prepared: PreparedModel, pipeline: PipelineSettings, source: StepSource) {
    this.#model = prepared
    this.#pipeline = pipeline
    this.#declared = declaredTensors(prepared)
    this.#source = source
  }

  /**
   * Returns `undefined` for a model that is no pipeline.
   * @param source The models of the server.
   */
  static of(prepared: PreparedModel, source: StepSource): PipelineMetadata | undefined {
    const pipeline = pipelineOf(prepared)
    return pipeline && new PipelineMetadata(prepared, pipeline, source)
  }

  /** Returns the same object until a step changes. */
  get metadata(): PipelineDescription {
    if (derived !== undefined) return derived.get(this) ?? this.#derive(derived)
    derived = new Map()
    try {
      return this.#derive(derived)
    } finally {
      derived = undefined
    }
  }

  /** Adds the metadata to `all`, and that of the pipelines among the steps. */
  #derive(all: Map<PipelineMetadata, PipelineDescription>): PipelineDescription {
    const metadata = this.#present()
    all.set(this, metadata)
    return metadata
  }

  #present(): PipelineDescription {
    const circle = this.#circle
    // In a circle, the pipelines would ask one another without end.
    const steps = circle === undefined ? this.#pipeline.steps : []
    const found = steps.map((step) => findStep(step, this.#source))
    const basis = [
      circle,
      ...found.flatMap(({ version, metadata, problem }) => [version, metadata, problem]),
    ]
    if (this.#metadata !== undefined && isSame(basis, this.#basis)) return this.#metadata
    this.#basis = basis
    this.#revision += 1
    return (this.#metadata = this.#describe(found, circle))
  }

  /** Changes with the metadata. */
  get revision(): string {
    void this.metadata
    return String(this.#revision)
  }

  /** Does nothing: the metadata is derived. */
  record(_metadata: unknown): void {}

  /**
   * Loads steps that load on demand, as far as their types are needed.
   * @throws ServerError of a step, with its name, if the types of the pipeline are unknown without
   * it; 500 if the steps do not fit together.
   * @param learned Versions that the caller has asked before.
   */
  async learn(learned?: LearnedVersions): Promise<void> {
    try {
      await this.learnAll(learned)
    } catch (error) {
      if (this.metadata.inputs === undefined) throw error
    }
    const { inputs, pipeline } = this.metadata
    if (inputs === undefined && pipeline.problem !== undefined)
      throw new ServerError('InternalServerException', pipeline.problem)
  }

  /** As {@link learn}. @throws ServerError of any step that cannot be called. */
  async learnAll(learned: LearnedVersions = new Map()): Promise<void> {
    if (this.#circle !== undefined) return
    for (const [index, step] of this.#pipeline.steps.entries()) {
      try {
        await learnOnce(this.#source.get(step.model, step.version), learned)
      } catch (cause) {
        if (!(cause instanceof ServerError)) throw cause
        const { type, statusCode, retryAfterSeconds } = cause
        const options = { statusCode, cause, ...(retryAfterSeconds && { retryAfterSeconds }) }
        throw new ServerError(type, `${stepName(step, index)}: ${cause.message}`, options)
      }
    }
  }

  /** The pipelines that call one another in a circle, as a sentence. */
  get #circle(): string | undefined {
    const names = circleOf(this.#model.name, this.#pipeline, this.#source)
    return names && circleText(names)
  }

  #describe(found: readonly FoundStep[], circle: string | undefined): PipelineDescription {
    const { name, version } = this.#model
    const names = namesOf(this.#pipeline)
    const facts = this.#pipeline.steps.map((step, index): StepFacts => {
      const one = found[index]
      return one === undefined || circle !== undefined ? {} : factsOf(one, stepName(step, index))
    })
    const tensors = facts.map((one) => one.tensors)
    const { inputs, outputs, images, problem } = deriveTypes(
      this.#pipeline,
      tensors,
      this.#declared,
    )
    const steps = this.#pipeline.steps.map((step, index) => {
      const { problem: own } = facts[index] ?? {}
      const { model, version: chosen, inputs: reads, outputs: writes } = step
      const shown = { model, ...(chosen && { version: chosen }), inputs: reads, outputs: writes }
      return { ...shown, ...(own !== undefined && { problem: own }) }
    })
    const isTyped = inputs !== undefined && outputs !== undefined
    const mistake = circle ?? problem
    const isKnown = mistake === undefined && facts.every((one) => one.problem === undefined)
    const jsonOnly =
      facts.find((one) => one.jsonOnly !== undefined)?.jsonOnly ??
      (isTyped || !isKnown ? undefined : 'The types of its inputs and outputs are not known.')
    return {
      name,
      version,
      handler: 'pipeline',
      ...(isTyped && typed(inputs, outputs, this.#declared)),
      pipeline: {
        ...names,
        ...(images !== undefined && images.length > 0 && { images }),
        steps,
        ...(mistake !== undefined && { problem: mistake }),
        ...(jsonOnly !== undefined && { jsonOnly }),
      },
    }
  }
}

type Tensors = NonNullable<ReturnType<typeof deriveTypes>['inputs']>

/** The result of `describe` for a pipeline. With types, it is a `HandlerMetadata`. */
export interface PipelineDescription {
  readonly name: string
  readonly version: string
  readonly handler: 'pipeline'
  readonly runtime?: { readonly name: string; readonly version: string }
  /** Whether the first dimension of all inputs and outputs is open. */
  readonly batchable?: boolean
  readonly maxBatchSize?: number
  readonly inputs?: Tensors
  readonly outputs?: Tensors
  readonly pipeline: PipelineParts & {
    readonly inputs: readonly string[]
    readonly outputs: readonly string[]
    /** Inputs that may be image files. */
    readonly images?: readonly string[]
  }
}

function typed(inputs: Tensors, outputs: Tensors, declared: DeclaredTensors | undefined) {
  const maxBatchSize = declared?.maxBatchSize ?? 0
  // In Triton, a configuration with `max_batch_size: 0` has no batch dimension.
  const mayBatch = declared === undefined || maxBatchSize > 0
  return {
    runtime: { name: 'pipeline', version: '' },
    batchable: mayBatch && [...inputs, ...outputs].every(({ shape }) => shape[0] === -1),
    maxBatchSize,
    inputs,
    outputs,
  }
}

function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index])
}
