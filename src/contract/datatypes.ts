/** Datatypes of tensors, for both processes. */
import type { TensorType } from '../../types/handler.d.ts'

/** Those that onnxruntime-node can run, by their Open Inference Protocol names. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const

export type Datatype = (typeof DATATYPES)[number]

/** The names of onnxruntime for the datatypes, which handlers use. */
export const TYPE_NAMES: Readonly<Record<Datatype, TensorType>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
}
