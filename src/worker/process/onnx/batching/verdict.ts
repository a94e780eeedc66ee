/** Decides, when a model is loaded, whether requests may share a run, and gives the reason. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import type { JoinBatches } from '../../../../model-folder/version-settings.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { readGraph } from './graph-reader.ts'
import { ProtoError, ProtoFile } from './proto-file.ts'
import { whyNoBatch, whyNotApart } from './trace.ts'

export interface BatchVerdict {
  readonly joins: boolean
  /** The reason, as a sentence. */
  readonly reason: string
  /** Whether joined runs must be compared with single runs before the first response uses one. */
  readonly needsTrial: boolean
}

/** Returns the verdict on the model in an `.onnx` file. Never throws. */
export function judgeBatching(
  file: string,
  inputs: readonly TensorSpec[],
  setting: JoinBatches,
): BatchVerdict {
  if (setting === 'never') return no('The setting joinBatches is "never".')
  const problem = whyNoBatch(inputs)
  if (problem !== undefined) return no(problem)
  if (setting === 'auto') return prove(file, inputs)
  return { joins: true, reason: 'The setting joinBatches is "always".', needsTrial: false }
}

function prove(file: string, inputs: readonly TensorSpec[]): BatchVerdict {
  try {
    const problem = readAndTrace(file, inputs)
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

function readAndTrace(file: string, inputs: readonly TensorSpec[]): string | undefined {
  // Without O_NONBLOCK, opening a FIFO would block forever.
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = fstatSync(descriptor)
    if (!found.isFile()) throw new ProtoError('the model is not a regular file')
    const graph = readGraph(new ProtoFile(descriptor, found.size))
    return whyNotApart(graph, inputs)
  } finally {
    closeSync(descriptor)
  }
}
