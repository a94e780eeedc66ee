/** Writes a tensor in the format of `numpy.save`. */
import { ServerError } from '../../../../errors.ts'
import { responseTooLarge } from '../json/writer.ts'
import { elementToText } from '../tensors/byte-strings.ts'
import { quote } from '../tensors/error-text.ts'
import { bytesOfData } from '../tensors/tensor.ts'
import type { NumericDatatype, Tensor } from '../tensors/tensor.ts'

const DTYPES: Readonly<Record<NumericDatatype, string>> = {
  BOOL: '|b1',
  UINT8: '|u1',
  UINT16: '<u2',
  UINT32: '<u4',
  UINT64: '<u8',
  INT8: '|i1',
  INT16: '<i2',
  INT32: '<i4',
  INT64: '<i8',
  FP16: '<f2',
  FP32: '<f4',
  FP64: '<f8',
}
/** Magic bytes, version 1.0. The length of the header follows. */
const MAGIC = Buffer.from('\x93NUMPY\x01\0', 'latin1')
const PREFIX_BYTES = MAGIC.length + 2
/** NumPy aligns the elements to this. */
const ALIGNMENT = 64

/** Bytes of a character in an array of strings (UTF-32). */
const CHARACTER_BYTES = 4

/**
 * Strings become an array of the dtype `<U`, in which all elements have the same length.
 * @throws ServerError 507 when the response exceeds `maxBytes`
 */
export function writeNpy(tensor: Tensor, name: string, maxBytes: number): Buffer {
  const [dtype, elements] =
    tensor.datatype === 'BYTES'
      ? unicodeOf(tensor.data, name, maxBytes)
      : [DTYPES[tensor.datatype], bytesOfData(tensor.data)]
  const { shape } = tensor
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const header = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${sizes}), }`
  const end = Math.ceil((PREFIX_BYTES + header.length + 1) / ALIGNMENT) * ALIGNMENT
  if (end + elements.length > maxBytes) throw responseTooLarge(maxBytes)
  const text = `${header.padEnd(end - PREFIX_BYTES - 1)}\n`
  const length = Buffer.alloc(2)
  length.writeUInt16LE(text.length)
  return Buffer.concat([MAGIC, length, Buffer.from(text, 'latin1'), elements])
}

function unicodeOf(
  data: readonly string[],
  name: string,
  maxBytes: number,
): [dtype: string, elements: Buffer] {
  const texts = data.map((element, at) => textOf(element, name, at))
  // NumPy has no strings of the length 0.
  const longest = texts.reduce((most, text) => Math.max(most, charactersIn(text)), 1)
  const size = texts.length * longest * CHARACTER_BYTES
  if (size > maxBytes) throw responseTooLarge(maxBytes)
  const elements = Buffer.alloc(size)
  for (const [index, text] of texts.entries()) {
    let at = index * longest * CHARACTER_BYTES
    for (const character of text) {
      at = elements.writeUInt32LE(character.codePointAt(0) ?? 0, at)
    }
  }
  return [`<U${longest}`, elements]
}

function textOf(element: string, name: string, at: number): string {
  const text = elementToText(element)
  if (text !== undefined) return text
  throw new ServerError(
    'InvalidInputException',
    `Output ${quote(name)}, element ${at}: the bytes are not valid UTF-8, so an array of strings cannot represent them.`,
  )
}

function charactersIn(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at += (text.codePointAt(at) ?? 0) > 0xff_ff ? 2 : 1) count++
  return count
}
