/** Reads a NumPy array file, as responses have it. */
import type { NamedValues } from '../comparison.ts'
import { valuesFromBytes } from './raw-values.ts'

const DATATYPES: Readonly<Record<string, string>> = {
  b1: 'BOOL',
  u1: 'UINT8',
  u2: 'UINT16',
  u4: 'UINT32',
  u8: 'UINT64',
  i1: 'INT8',
  i2: 'INT16',
  i4: 'INT32',
  i8: 'INT64',
  f2: 'FP16',
  f4: 'FP32',
  f8: 'FP64',
}
const HEADER = /'descr': '[<|=](\w\d)', 'fortran_order': False, 'shape': \(([\d, ]*)\)/
const MAX_HEADER_BYTES = 10_000

/** @throws Error for other files, and for arrays of texts. */
export function tensorOfNpy(file: Buffer): NamedValues {
  const isLong = (file[6] ?? 0) > 1
  const start = isLong ? 12 : 10
  const length = isLong ? file.readUInt32LE(8) : file.readUInt16LE(8)
  const end = start + Math.min(length, MAX_HEADER_BYTES)
  const [, type = '', sizes = ''] = HEADER.exec(file.toString('latin1', start, end)) ?? []
  const datatype = Object.hasOwn(DATATYPES, type) ? DATATYPES[type] : undefined
  if (datatype === undefined) throw new TypeError('the type of the array is not known')
  const shape = sizes.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]))
  return { name: 'array', ...valuesFromBytes(datatype, shape, file.subarray(end)) }
}
