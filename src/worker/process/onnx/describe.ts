import type { WireHeader, WirePrediction } from '../../wire/messages.ts'
import type { ModelMetadata, TensorSpec } from './metadata.ts'
import { jsonPrediction, prettyJson } from './prediction.ts'

const DESCRIBE = 'describe'

/** TorchServe's convention: the request header `describe: True` asks for the model's metadata. */
export function asksForDescription(headers: readonly WireHeader[]): boolean {
  for (const [name, value] of headers) {
    if (name.length === DESCRIBE.length && name.toLowerCase() === DESCRIBE) {
      return value.trim().toLowerCase() === 'true'
    }
  }
  return false
}

/** The answer: the metadata as JSON; -1 in `shape` stands for a symbolic dimension, named in `dimensions`. */
export function describeModel(id: string, model: ModelMetadata): WirePrediction {
  const { name, handler, version, runtime, providers, batchable, inputs, outputs, labels } = model
  const body = {
    name,
    version,
    handler,
    runtime,
    providers,
    batchable,
    inputs: inputs.map(describeSpec),
    outputs: outputs.map(describeSpec),
    labels,
  }
  return jsonPrediction(id, 200, prettyJson(body))
}

function describeSpec({ name, datatype, shape, dimensions }: TensorSpec) {
  return { name, datatype, shape, dimensions }
}
