/** Examples of models: inputs with the outputs that the model must give for them. */
import { DATATYPES } from '../../src/contract/datatypes.ts'
import type { Datatype } from '../../src/contract/datatypes.ts'

/**
 * One tensor. `data` has truth values as 0 and 1, FP16 as its bits, and as text what JSON has no
 * number for: "NaN", "Infinity", "-Infinity".
 */
export interface TensorExample {
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly (number | string)[]
  /** The elements as raw bytes; absent for BYTES. */
  readonly littleEndianHex?: string
}

export interface ModelExample {
  readonly inputs: Readonly<Record<string, TensorExample>>
  readonly outputs: Readonly<Record<string, TensorExample>>
}

/** Every datatype but BYTES. */
export const NUMBER_TYPES = DATATYPES.filter((type) => type !== 'BYTES')

type Write = (view: DataView, at: number, value: number) => void

const WRITERS: Readonly<Record<Exclude<Datatype, 'BYTES'>, readonly [size: number, write: Write]>> =
  {
    BOOL: [1, (view, at, value) => view.setUint8(at, value)],
    UINT8: [1, (view, at, value) => view.setUint8(at, value)],
    INT8: [1, (view, at, value) => view.setInt8(at, value)],
    UINT16: [2, (view, at, value) => view.setUint16(at, value, true)],
    INT16: [2, (view, at, value) => view.setInt16(at, value, true)],
    FP16: [2, (view, at, value) => view.setUint16(at, value, true)],
    UINT32: [4, (view, at, value) => view.setUint32(at, value, true)],
    INT32: [4, (view, at, value) => view.setInt32(at, value, true)],
    FP32: [4, (view, at, value) => view.setFloat32(at, value, true)],
    UINT64: [8, (view, at, value) => view.setBigUint64(at, BigInt(value), true)],
    INT64: [8, (view, at, value) => view.setBigInt64(at, BigInt(value), true)],
    FP64: [8, (view, at, value) => view.setFloat64(at, value, true)],
  }

export function tensorExample(
  datatype: Datatype,
  shape: readonly number[],
  data: readonly (number | string)[],
): TensorExample {
  if (datatype === 'BYTES') return { datatype, shape, data }
  const [size, write] = WRITERS[datatype]
  const bytes = Buffer.alloc(size * data.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (const [index, value] of data.entries()) write(view, index * size, Number(value))
  return { datatype, shape, data, littleEndianHex: bytes.toString('hex') }
}

/** `OUTPUT0` is `INPUT0`. */
export function echoed(
  datatype: Datatype,
  shape: readonly number[],
  data: readonly (number | string)[],
): ModelExample {
  const tensor = tensorExample(datatype, shape, data)
  return { inputs: { INPUT0: tensor }, outputs: { OUTPUT0: tensor } }
}

/** `OUTPUT0` is `INPUT0 + INPUT1`, `OUTPUT1` is `INPUT0 - INPUT1`, where `INPUT1` is all ones. */
export function paired(
  input: Datatype,
  output: Datatype,
  shape: readonly number[],
  numbers: readonly number[],
): ModelExample {
  const tensor = (type: Datatype, values: readonly number[]): TensorExample =>
    tensorExample(type, shape, type === 'BYTES' ? values.map(String) : values)
  return {
    inputs: {
      INPUT0: tensor(input, numbers),
      INPUT1: tensor(
        input,
        numbers.map(() => 1),
      ),
    },
    outputs: {
      OUTPUT0: tensor(
        output,
        numbers.map((value) => value + 1),
      ),
      OUTPUT1: tensor(
        output,
        numbers.map((value) => value - 1),
      ),
    },
  }
}
