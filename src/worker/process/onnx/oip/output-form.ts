/**
 * How each output of an Open Inference Protocol response is written: as JSON or binary data, and in
 * full or as its best classes.
 */
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Parameters, ProtocolOutput } from './request.ts'

export interface OutputForm {
  readonly name: string
  /** True when the output follows the JSON as binary data. */
  readonly isBinary: boolean
  /** Number of highest values to write instead of the output; 0 writes the output itself. */
  readonly classes: number
}

const UNKNOWN_CLASSES: ReadonlySet<string> = new Set(['BYTES', 'FP16'])

/** All outputs in the same form. */
export function allOutputs(specs: readonly TensorSpec[], isBinary: boolean): readonly OutputForm[] {
  return specs.map(({ name }) => ({ name, isBinary, classes: 0 }))
}

/**
 * Whether outputs that are not listed are binary.
 * @throws ServerError 400 unless the parameter is a boolean
 */
export function wantsBinary(parameters: Parameters): boolean {
  return readFlag(parameters, 'binary_data_output', 'The request')
}

/**
 * The form of a listed output. The parameters of the whole request do not apply to it.
 * @throws ServerError 400
 */
export function formOfOutput({ name, parameters }: ProtocolOutput, spec: TensorSpec): OutputForm {
  const place = `Output ${quote(name)}`
  const classes = parameters.get('classification') ?? 0
  if (typeof classes !== 'number' || !Number.isSafeInteger(classes) || classes < 0) {
    throw invalid(
      `${place}: "classification" must be a number of classes, got ${quote(String(classes))}.`,
    )
  }
  if (classes > 0 && UNKNOWN_CLASSES.has(spec.datatype)) {
    throw invalid(`${place}: "classification" does not support ${spec.datatype}.`)
  }
  return { name, isBinary: readFlag(parameters, 'binary_data', place), classes }
}

function readFlag(parameters: Parameters, name: string, place: string): boolean {
  const value = parameters.get(name) ?? false
  if (typeof value === 'boolean') return value
  throw invalid(`${place}: "${name}" must be true or false, got ${quote(String(value))}.`)
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
