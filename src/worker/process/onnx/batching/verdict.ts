/** Decides, when a model is loaded, whether requests may share a run, and gives the reason. */
import { ProtoError, withProtoFile } from '../../../../formats/proto-file.ts'
import type { JoinBatches } from '../../../../model-folder/version-settings.ts'
import { readGraph } from '../graph/graph-reader.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { whyNoBatch, whyNotApart } from './trace.ts'

export interface BatchVerdict {
  readonly joins: boolean
  /** The reason, as a sentence. */
  readonly reason: string
  /** Whether joined runs must be compared with single runs before the first response uses one. */
  readonly needsTrial: boolean
}

/**
 * Returns the verdict on the model in an `.onnx` file. Never throws.
 * @param outputs The outputs that are served, if not all are. The others need no proof.
 */
export function judgeBatching(
  file: string,
  inputs: readonly TensorSpec[],
  setting: JoinBatches,
  outputs?: readonly TensorSpec[],
): BatchVerdict {
  if (setting === 'never') return no('The setting joinBatches is "never".')
  const problem = whyNoBatch(inputs)
  if (problem !== undefined) return no(problem)
  if (setting === 'auto') return prove(file, inputs, outputs)
  return { joins: true, reason: 'The setting joinBatches is "always".', needsTrial: false }
}

function prove(
  file: string,
  inputs: readonly TensorSpec[],
  outputs?: readonly TensorSpec[],
): BatchVerdict {
  try {
    const problem = readAndTrace(file, inputs, outputs)
    if (problem !== undefined) return no(problem)
    const reason = 'No operator mixes the requests of a run.'
    return { joins: true, reason, needsTrial: true }
  } catch (error) {
    const detail = error instanceof ProtoError ? `: ${error.message}` : ''
    return no(`The graph cannot be analyzed${detail}.`)
  }
}

function no(reason: string): BatchVerdict {
  return { joins: false, reason, needsTrial: false }
}

function readAndTrace(
  file: string,
  inputs: readonly TensorSpec[],
  outputs?: readonly TensorSpec[],
): string | undefined {
  const graph = withProtoFile(file, readGraph)
  const names = outputs === undefined ? graph.outputs : outputs.map(({ name }) => name)
  return whyNotApart({ ...graph, outputs: names }, inputs)
}
