/** Writes a tensor in the format of `numpy.save`. */
import { ServerError } from '../../../../errors.ts'
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

/** @throws ServerError 406 for strings */
export function writeNpy(tensor: Tensor, name: string): Buffer {
  if (tensor.datatype === 'BYTES') {
    throw new ServerError(
      'InvalidInputException',
      `Output ${quote(name)} contains strings, so the response cannot be a NumPy array; accept application/json.`,
      { statusCode: 406 },
    )
  }
  const { datatype, shape, data } = tensor
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const header = `{'descr': '${DTYPES[datatype]}', 'fortran_order': False, 'shape': (${sizes}), }`
  const end = Math.ceil((PREFIX_BYTES + header.length + 1) / ALIGNMENT) * ALIGNMENT
  const text = `${header.padEnd(end - PREFIX_BYTES - 1)}\n`
  const length = Buffer.alloc(2)
  length.writeUInt16LE(text.length)
  return Buffer.concat([MAGIC, length, Buffer.from(text, 'latin1'), bytesOfData(data)])
}
