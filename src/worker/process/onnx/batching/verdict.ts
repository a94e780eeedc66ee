/** May requests share a run of a model? Decided when it is loaded, and said in words. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import type { JoinBatches } from '../../../../model-folder/settings.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { readGraph } from './graph-reader.ts'
import { ProtoError, ProtoFile } from './proto-file.ts'
import { whyNoBatch, whyNotApart } from './trace.ts'

export interface BatchVerdict {
  readonly joins: boolean
  /** Why, as a sentence. */
  readonly reason: string
  /** Joined runs are compared with single ones before the first response comes from one. */
  readonly needsTrial: boolean
}

/** The verdict on the model of an `.onnx` file. Never throws. */
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
    const reason = 'Every operator keeps the requests of a run apart.'
    return { joins: true, reason, needsTrial: true }
  } catch (error) {
    const detail = error instanceof ProtoError ? `: ${error.message}` : ''
    return no(`The graph cannot be checked${detail}.`)
  }
}

function no(reason: string): BatchVerdict {
  return { joins: false, reason, needsTrial: false }
}

function readAndTrace(file: string, inputs: readonly TensorSpec[]): string | undefined {
  // Opening a FIFO would wait for ever.
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = fstatSync(descriptor)
    if (!found.isFile()) throw new ProtoError('it is not a file')
    const graph = readGraph(new ProtoFile(descriptor, found.size))
    return whyNotApart(graph, inputs)
  } finally {
    closeSync(descriptor)
  }
}
