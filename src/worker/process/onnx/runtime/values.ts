/** Types and tensors of onnxruntime-node, and their counterparts in this program. */
import type { Tensor as RuntimeTensor } from 'onnxruntime-node'
import type { Binding } from 'onnxruntime-node/dist/binding.js'
import { DATATYPES, TYPE_NAMES } from '../../../../contract/datatypes.ts'
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Datatype, Tensor } from '../tensors/tensor.ts'
import { unsupportedElements } from './runtime-errors.ts'

const DATATYPES_OF_RUNTIME: ReadonlyMap<string, Datatype> = new Map(
  DATATYPES.map((datatype) => [TYPE_NAMES[datatype], datatype]),
)
/** The numbers of ONNX's `TensorProto.DataType`. */
const ELEMENT_TYPES: ReadonlyMap<number, Datatype> = new Map([
  [1, 'FP32'],
  [2, 'UINT8'],
  [3, 'INT8'],
  [4, 'UINT16'],
  [5, 'INT16'],
  [6, 'INT32'],
  [7, 'INT64'],
  [8, 'BYTES'],
  [9, 'BOOL'],
  [10, 'FP16'],
  [11, 'FP64'],
  [12, 'UINT32'],
  [13, 'UINT64'],
])

/** @throws ServerError `InvalidModelException` for a value that is not a supported tensor. */
export function specOf(kind: 'Input' | 'Output', value: Binding.ValueMetadata): TensorSpec {
  const { name } = value
  if (!value.isTensor) {
    const problem = 'is a sequence, map or optional; only tensors are supported'
    throw new ServerError('InvalidModelException', `${kind} ${quote(name)} ${problem}.`)
  }
  const datatype = ELEMENT_TYPES.get(value.type)
  if (datatype === undefined) throw unsupportedElements(`${kind} ${quote(name)}`, value.type)
  const dimensions = value.shape.map((dimension, axis) =>
    dimension < 0 ? (value.symbolicDimensions[axis] ?? '') : dimension,
  )
  return { name, datatype, shape: value.shape, dimensions }
}

/** Builds a plain object for onnxruntime. An object of its class would repeat checks. */
export function runtimeTensor({ datatype, data, shape }: Tensor): RuntimeTensor {
  const tensor: Pick<RuntimeTensor, 'type' | 'dims' | 'location'> & { data: Tensor['data'] } = {
    type: TYPE_NAMES[datatype],
    data,
    dims: shape,
    location: 'cpu',
  }
  return tensor as RuntimeTensor
}

/** @throws ServerError `InvalidInputException` for an output without a value. */
export function tensorOf(name: string, output: RuntimeTensor | undefined): Tensor {
  const datatype = output && DATATYPES_OF_RUNTIME.get(output.type)
  if (output === undefined || datatype === undefined) {
    const problem = `onnxruntime returned no tensor for output ${quote(name)}.`
    throw new ServerError('InvalidInputException', problem)
  }
  const { data, dims } = output
  if (datatype === 'BYTES') {
    if (!Array.isArray(data)) throw new TypeError('a tensor of strings contains something else')
    return { datatype, shape: dims, data }
  }
  if (Array.isArray(data)) throw new TypeError('a tensor of numbers contains something else')
  // With a Node version that has Float16Array, onnxruntime-node creates one.
  if (datatype === 'FP16' && !(data instanceof Uint16Array)) {
    return {
      datatype,
      shape: dims,
      data: new Uint16Array(data.buffer, data.byteOffset, data.length),
    }
  }
  return { datatype, shape: dims, data }
}
