import type { WirePrediction } from '../../wire/messages.ts'
import type { BatchVerdict } from './batching/verdict.ts'
import { jsonPrediction, prettyJson } from './prediction.ts'
import type { ModelMetadata, TensorSpec } from './tensors/metadata.ts'

/**
 * The answer to `describe: True`: the metadata as JSON; -1 in `shape` stands for a symbolic
 * dimension, named in `dimensions`; `anyShape` tells a model without a shape from a scalar.
 */
export function describeModel(
  id: string,
  model: ModelMetadata,
  { joins, reason }: BatchVerdict,
): WirePrediction {
  const { name, handler, version, runtime, providers, batchable, inputs, outputs } = model
  const { labels, topK } = model
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
    labels,
    topK,
  }
  return jsonPrediction(id, 200, prettyJson(body))
}

function describeSpec({ name, datatype, shape, dimensions, anyShape }: TensorSpec) {
  return { name, datatype, shape, dimensions, anyShape }
}
