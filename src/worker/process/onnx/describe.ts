import type { WirePrediction } from '../../wire/messages.ts'
import type { BatchVerdict } from './batching/verdict.ts'
import { jsonPrediction, prettyJson } from './prediction.ts'
import type { ModelMetadata, TensorSpec } from './tensors/metadata.ts'

/** What is known about the steps of a handler around the model. */
export interface HandlerSteps {
  /** Whether the handler writes responses of its own in place of the outputs. */
  readonly ownResponses?: boolean
  /** Whether requests over gRPC reach the handler. */
  readonly readsMessages?: boolean
}

/**
 * Builds the response to `describe: True`, the model's metadata as JSON. In `shape`, -1 stands for
 * a symbolic dimension; `dimensions` has its name. `anyShape` distinguishes a tensor without a
 * declared shape from a scalar. `notServed` lists the outputs that are not tensors.
 */
export function describeModel(
  id: string,
  model: ModelMetadata,
  { joins, reason }: BatchVerdict,
  steps: HandlerSteps = {},
): WirePrediction {
  const { name, handler, version, runtime, providers, batchable, inputs, outputs } = model
  const { task, labels, topK, notServed, columns, text } = model
  const body = {
    name,
    version,
    handler,
    runtime,
    providers,
    batchable,
    batching: { joins, reason },
    inputs: inputs.map(describeSpec),
    outputs: outputs.map(describeSpec),
    task,
    notServed,
    labels,
    topK,
    columns,
    text,
    ...steps,
  }
  return jsonPrediction(id, 200, prettyJson(body))
}

function describeSpec(spec: TensorSpec) {
  const { name, datatype, shape, dimensions, anyShape, labels, form, classNumbers } = spec
  return { name, datatype, shape, dimensions, anyShape, labels, form, classNumbers }
}
