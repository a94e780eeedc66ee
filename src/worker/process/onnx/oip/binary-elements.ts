/**
 * The binary form of BYTES tensors: for each element its length (four bytes, little-endian) and
 * then its bytes.
 */
import { ServerError } from '../../../../errors.ts'
import {
  bytesToElement,
  elementByteLength,
  fileToElement,
  writeElement,
} from '../tensors/byte-strings.ts'
import { countText, quote, shapeText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { elementCount } from '../tensors/tensor.ts'
import type { BytesTensor } from '../tensors/tensor.ts'

const PREFIX_BYTES = 4

/**
 * Reads the elements of a tensor. Memory is allocated only for elements that the bytes contain.
 * @throws ServerError 400 unless the bytes contain exactly the elements that `shape` declares
 */
export function readElements(
  spec: TensorSpec,
  bytes: Buffer,
  shape: readonly number[],
): BytesTensor {
  const expected = elementCount(shape)
  const data: string[] = []
  let at = 0
  while (at < bytes.length) {
    if (data.length === expected) throw wrongCount(spec, shape, `more than ${expected}`)
    const start = at + PREFIX_BYTES
    if (start > bytes.length) throw cutShort(spec, data.length, 'the length of the element')
    const end = start + bytes.readUInt32LE(at)
    if (end > bytes.length) {
      const text = `an element of ${end - start} bytes; ${bytes.length - start} bytes are left`
      throw cutShort(spec, data.length, text)
    }
    const element = bytes.subarray(start, end)
    data.push(spec.holdsFiles === true ? fileToElement(element) : bytesToElement(element))
    at = end
  }
  if (data.length < expected) throw wrongCount(spec, shape, String(data.length))
  return { datatype: 'BYTES', shape, data }
}

/** Bytes that {@link writeElements} needs. */
export function elementsByteLength(data: readonly string[]): number {
  let length = PREFIX_BYTES * data.length
  for (const element of data) length += elementByteLength(element)
  return length
}

/** Writes all elements from offset `at` on and returns the offset after them. */
export function writeElements(data: readonly string[], bytes: Buffer, at: number): number {
  for (const element of data) {
    const start = at + PREFIX_BYTES
    const end = writeElement(element, bytes, start)
    bytes.writeUInt32LE(end - start, at)
    at = end
  }
  return at
}

function cutShort(spec: TensorSpec, element: number, missing: string): ServerError {
  const place = `Input ${quote(spec.name)}, element ${element}`
  const text = `${place}: the binary data is truncated in ${missing}.`
  return new ServerError('InvalidInputException', text)
}

function wrongCount(spec: TensorSpec, shape: readonly number[], found: string): ServerError {
  const count = elementCount(shape)
  const wanted = Number.isSafeInteger(count)
    ? countText(count, 'element')
    : 'more elements than supported'
  return new ServerError(
    'InvalidInputException',
    `Input ${quote(spec.name)}: shape ${shapeText(shape)} requires ${wanted}, but the binary data has ${found}.`,
  )
}
