/** What the front-end says of a pipeline at this moment. */
import { ServerError } from '../../../errors.ts'
import type { ServerCalls } from '../custom/server-calls.ts'
import type { WorkerOptions } from '../handler.ts'
import type { ModelMetadata, TensorSpec } from '../onnx/tensors/metadata.ts'
import { checkStatus } from './run-steps.ts'
import { TypedPipeline } from './typed-pipeline.ts'
import type { RunTensors } from './typed-pipeline.ts'

/** How requests can be served. */
export interface PipelineTypes {
  /** The response to `describe`. */
  readonly description: unknown
  /** Why no request can be served. */
  readonly problem?: string | undefined
  /** Why requests must be JSON. */
  readonly jsonOnly?: string | undefined
  /** Absent if requests must be JSON. */
  readonly typed?: TypedPipeline | undefined
}

/** The message of the front-end, and the part of the metadata that the worker reads. */
interface Message {
  readonly revision: string
  readonly metadata: Description
}
interface Description {
  readonly name: string
  readonly version: string
  readonly batchable?: boolean
  readonly maxBatchSize?: number
  readonly inputs?: readonly TensorSpec[]
  readonly outputs?: readonly TensorSpec[]
  readonly pipeline: {
    readonly images?: readonly string[]
    readonly problem?: string
    readonly jsonOnly?: string
  }
}

/** Asks the front-end before each batch, because steps may be replaced at any time. */
export class PresentTypes {
  readonly #calls: ServerCalls
  readonly #options: WorkerOptions
  readonly #run: RunTensors
  #revision = ''
  #types: PipelineTypes | undefined

  constructor(calls: ServerCalls, options: WorkerOptions, run: RunTensors) {
    this.#calls = calls
    this.#options = options
    this.#run = run
  }

  /** @throws ServerError if a step cannot be called. */
  async get(): Promise<PipelineTypes> {
    const version = this.#revision
    const asked = { served: '', model: '', version, protocol: 'metadata', parameters: [] }
    const response = await this.#calls.send(asked)
    checkStatus(response)
    if (response.body.length > 0) {
      const { revision, metadata } = JSON.parse(response.body.toString()) as Message
      this.#revision = revision
      this.#types = this.#typesOf(metadata)
    }
    if (this.#types !== undefined) return this.#types
    throw new ServerError('InternalServerException', 'The pipeline is not known to the server.')
  }

  #typesOf(description: Description): PipelineTypes {
    const { inputs, outputs, pipeline } = description
    const { problem, jsonOnly, images = [] } = pipeline
    const shown = { description, problem, jsonOnly }
    if (inputs === undefined || outputs === undefined || jsonOnly !== undefined) return shown
    const metadata = metadataOf(description, inputs, outputs)
    return { ...shown, typed: new TypedPipeline(metadata, images, this.#options, this.#run) }
  }
}

function metadataOf(
  { name, version, batchable = false, maxBatchSize = 0 }: Description,
  inputs: readonly TensorSpec[],
  outputs: readonly TensorSpec[],
): ModelMetadata {
  return {
    name,
    handler: 'pipeline',
    version,
    runtime: { name: 'pipeline', version: '' },
    providers: [],
    batchable,
    maxBatchSize,
    inputs: inputs.map(withoutBatchName),
    outputs: outputs.map(withoutBatchName),
  }
}

/**
 * Inputs of different models may have the same name for their first dimensions, although they need
 * not have the same size. Each model checks its own inputs.
 */
function withoutBatchName(spec: TensorSpec): TensorSpec {
  const [first, ...others] = spec.dimensions
  return typeof first === 'string' ? { ...spec, dimensions: ['', ...others] } : spec
}
