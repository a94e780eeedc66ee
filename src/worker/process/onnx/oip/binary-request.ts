/** The binary tensor data extension of the Open Inference Protocol: tensors behind the JSON of a request. */
import { ServerError } from '../../../../errors.ts'
import { JSON_LENGTH_HEADER } from '../headers.ts'
import { refuseForeignBytes } from '../raw/foreign-bytes.ts'
import { bytesToElement } from '../tensors/byte-strings.ts'
import { countText, quote } from '../tensors/error-text.ts'
import type { InputSet } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { tensorFromOctets } from '../tensors/raw-bytes.ts'
import { deduceShape, shapeOfOne } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { readElements } from './binary-elements.ts'
import type { ProtocolInput } from './request.ts'

/**
 * How many bytes of the body are JSON: all of them without the header.
 * @throws ServerError 400 unless the header is one number within the body
 */
export function parseJsonLength(header: string | undefined, bodyBytes: number): number {
  if (header === undefined) return bodyBytes
  const length = /^\d{1,15}$/.test(header.trim()) ? Number(header) : Number.NaN
  if (length <= bodyBytes) return length
  throw new ServerError(
    'InvalidInputException',
    `Header ${JSON_LENGTH_HEADER} must be the number of JSON bytes at the start of the body, which has ${bodyBytes}; got ${quote(header)}.`,
  )
}

/**
 * Fills `into` with the tensors of a request: from JSON, or the next slice of `tail` where an input says how many
 * bytes it has there.
 * @throws ServerError 400 unless each input has its data in exactly one place and the slices use up the tail
 */
export function addTensors(inputs: readonly ProtocolInput[], tail: Buffer, into: InputSet): void {
  let at = 0
  for (const { spec, shape, tensor, parameters } of inputs) {
    const size = parameters.get('binary_data_size')
    if (size === undefined) {
      if (tensor === undefined) throw refuse(spec, 'it has neither "data" nor "binary_data_size"')
      into.add(spec.name, tensor)
      continue
    }
    if (tensor !== undefined) throw refuse(spec, 'it has both "data" and "binary_data_size"')
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw refuse(spec, `"binary_data_size" must be a number of bytes, got ${quote(String(size))}`)
    }
    if (size > tail.length - at) {
      const left = countText(tail.length - at, 'byte')
      const hint =
        at === 0 && tail.length === 0
          ? `; the header ${JSON_LENGTH_HEADER} says where the JSON ends`
          : ''
      throw refuse(spec, `"binary_data_size" is ${size}, but ${left} are left in the body${hint}`)
    }
    into.add(spec.name, tensorFromBinary(spec, tail.subarray(at, at + size), shape))
    at += size
  }
  if (at < tail.length) {
    throw new ServerError(
      'InvalidInputException',
      `The binary data has ${countText(tail.length, 'byte')}, ${at} of which belong to an input.`,
    )
  }
}

/**
 * A body without any JSON: the data of the model's only input, a single string without a length in front. Where
 * one dimension is open it follows from the number of bytes.
 * @throws ServerError 400
 */
export function tensorFromRawBody(
  spec: TensorSpec,
  bytes: Buffer,
  shape: readonly number[] | undefined,
): Tensor {
  if (spec.datatype !== 'BYTES') {
    refuseForeignBytes(spec, spec.datatype, bytes)
    return tensorFromOctets(spec, bytes, shape)
  }
  const single = spec.anyShape === true ? shapeOfOne(spec) : deduceShape(spec, 1)
  if (single === undefined) throw refuse(spec, 'a raw body is a single string')
  return { datatype: 'BYTES', shape: single, data: [bytesToElement(bytes)] }
}

function tensorFromBinary(spec: TensorSpec, bytes: Buffer, shape: readonly number[]): Tensor {
  return spec.datatype === 'BYTES'
    ? readElements(spec, bytes, shape)
    : tensorFromOctets(spec, bytes, shape)
}

function refuse(spec: TensorSpec, problem: string): ServerError {
  return new ServerError('InvalidInputException', `Input ${quote(spec.name)}: ${problem}.`)
}
