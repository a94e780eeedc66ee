/** Outputs that are not tensors: why they are not served, and what their owner can do about it. */
import { ServerError } from '../../../../errors.ts'
import type { ValueKind } from '../graph/value-info.ts'
import { quote } from '../tensors/error-text.ts'
import type { NotServedOutput } from '../tensors/metadata.ts'

const REMEDIES: Readonly<Record<ValueKind, string>> = {
  'sequence of maps': "Export the model with options={'zipmap': False}.",
  map: "Export the model with options={'zipmap': False}.",
  sequence: 'Convert it in the model, for example with the operator ConcatFromSequence.',
  optional: 'Convert it in the model, for example with the operator OptionalGetElement.',
  'sparse tensor': 'Convert it to a dense tensor in the model.',
  tensor: 'Export the model with tensors as outputs.',
  unknown: 'Export the model with tensors as outputs.',
}

/** @param kind As the file declares it. */
export function notServedOutput(name: string, kind: ValueKind = 'unknown'): NotServedOutput {
  const what = kind === 'unknown' || kind === 'tensor' ? 'sequence, map or optional' : kind
  const article = what === 'optional' ? 'an' : 'a'
  return {
    name,
    reason: `It is ${article} ${what}; only tensors are served.`,
    remedy: REMEDIES[kind],
  }
}

/** The error of a model whose outputs are all of other kinds. */
export function noTensorError([first]: readonly NotServedOutput[]): ServerError {
  const detail =
    first === undefined ? '' : ` Output ${quote(first.name)}: ${first.reason} ${first.remedy}`
  return new ServerError('InvalidModelException', `The model has no tensor as output.${detail}`)
}
