/**
 * The binary tensor data extension of the Open Inference Protocol: tensors after the JSON of a
 * request.
 */
import { ServerError } from '../../../../errors.ts'
import { JSON_LENGTH_HEADER } from '../headers.ts'
import { refuseForeignBytes } from '../raw/foreign-bytes.ts'
import { bytesToElement, fileToElement } from '../tensors/byte-strings.ts'
import { countText, quote } from '../tensors/error-text.ts'
import type { InputSet } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { tensorFromOctets } from '../tensors/raw-bytes.ts'
import { deduceShape, shapeOfOne } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { readElements } from './binary-elements.ts'
import type { ProtocolInput } from './request.ts'

/**
 * Returns how many bytes of the body are JSON: all of them without the header.
 * @throws ServerError 400 unless the header is a number within the body's length
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
 * Fills `into` with the tensors of a request: from JSON, or from the next slice of `tail` when an
 * input gives the size of its binary data.
 * @throws ServerError 400 unless each input has its data in exactly one place and the slices use up
 * the tail
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
          ? `; the header ${JSON_LENGTH_HEADER} must contain the length of the JSON`
          : ''
      throw refuse(spec, `"binary_data_size" is ${size}, but the body has only ${left} more${hint}`)
    }
    into.add(spec.name, tensorFromBinary(spec, tail.subarray(at, at + size), shape))
    at += size
  }
  if (at < tail.length) {
    throw new ServerError(
      'InvalidInputException',
      `The binary data has ${countText(tail.length, 'byte')}, but the inputs use only ${at}.`,
    )
  }
}

/**
 * Reads a body without JSON: the data of the model's only input. A string has no length before it.
 * If one dimension is variable, it follows from the number of bytes.
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
  if (single === undefined) throw refuse(spec, 'a body of raw bytes can only contain one string')
  const element = spec.holdsFiles === true ? fileToElement(bytes) : bytesToElement(bytes)
  return { datatype: 'BYTES', shape: single, data: [element] }
}

/**
 * Converts the binary data of an input to its tensor.
 * @throws ServerError 400
 */
export function tensorFromBinary(
  spec: TensorSpec,
  bytes: Buffer,
  shape: readonly number[],
): Tensor {
  return spec.datatype === 'BYTES'
    ? readElements(spec, bytes, shape)
    : tensorFromOctets(spec, bytes, shape)
}

function refuse(spec: TensorSpec, problem: string): ServerError {
  return new ServerError('InvalidInputException', `Input ${quote(spec.name)}: ${problem}.`)
}
