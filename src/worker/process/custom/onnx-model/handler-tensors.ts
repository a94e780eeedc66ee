/**
 * Converts the tensors of handlers, which are those of onnxruntime, to onnxd's own, and back. What
 * is wrong with a tensor is a mistake of the handler, so it is a `TypeError`.
 */
import { types } from 'node:util'
import type {
  Tensor as HandlerTensor,
  TensorInfo,
  TensorType,
} from '../../../../../types/handler.d.ts'
import { TYPE_NAMES } from '../../../../contract/datatypes.ts'
import { ServerError } from '../../../../errors.ts'
import { elementToText, textToElement } from '../../onnx/tensors/byte-strings.ts'
import { countText, quote, shapeText } from '../../onnx/tensors/error-text.ts'
import type { TensorSpec } from '../../onnx/tensors/metadata.ts'
import { checkBatch, fitsShape } from '../../onnx/tensors/shape.ts'
import { elementCount } from '../../onnx/tensors/tensor.ts'
import type { NumericData, NumericDatatype, Tensor } from '../../onnx/tensors/tensor.ts'

const MAX_LISTED = 8

/**
 * The array of each type. The checks also accept arrays of another realm, as test runners have
 * them.
 */
const ARRAYS: Readonly<
  Record<NumericDatatype, readonly [name: string, is: (data: unknown) => boolean]>
> = {
  BOOL: ['Uint8Array', types.isUint8Array],
  UINT8: ['Uint8Array', types.isUint8Array],
  UINT16: ['Uint16Array', types.isUint16Array],
  UINT32: ['Uint32Array', types.isUint32Array],
  UINT64: ['BigUint64Array', types.isBigUint64Array],
  INT8: ['Int8Array', types.isInt8Array],
  INT16: ['Int16Array', types.isInt16Array],
  INT32: ['Int32Array', types.isInt32Array],
  INT64: ['BigInt64Array', types.isBigInt64Array],
  FP16: ['Uint16Array', types.isUint16Array],
  FP32: ['Float32Array', types.isFloat32Array],
  FP64: ['Float64Array', types.isFloat64Array],
}

/** Describes an input or output to a handler. */
export function infoOf({ name, datatype, dimensions }: TensorSpec): TensorInfo {
  return { name, type: TYPE_NAMES[datatype], shape: dimensions }
}

/**
 * Returns the tensors in the order of the specifications.
 * @param kind What the tensors are, for messages.
 * @param wanted The tensors that must be there; the others are ignored.
 * @throws TypeError that says what is expected.
 */
export function takeTensors(
  kind: 'Input' | 'Output',
  given: unknown,
  specs: readonly TensorSpec[],
  wanted: readonly TensorSpec[] = specs,
): readonly Tensor[] {
  const noun = kind.toLowerCase()
  const expected = `the model has ${listText(specs, noun)}`
  if (!isObject(given) || Array.isArray(given)) {
    throw new TypeError(`The ${noun}s must be an object of tensors by name; ${expected}.`)
  }
  const unknown = Object.keys(given).find((name) => !specs.some((spec) => spec.name === name))
  if (unknown !== undefined) {
    throw new TypeError(`Unknown ${noun} ${quote(unknown)}; ${expected}.`)
  }
  const tensors = wanted.map((spec) => {
    if (Object.hasOwn(given, spec.name))
      return takeTensor(kind, Reflect.get(given, spec.name), spec)
    throw new TypeError(`The ${noun} ${quote(spec.name)} is missing; ${expected}.`)
  })
  if (kind === 'Input') asHandlerError(() => checkBatch(specs, tensors))
  return tensors
}

/** The same tensor for a handler. */
export function giveTensor({ datatype, shape, data }: Tensor): HandlerTensor {
  const type = TYPE_NAMES[datatype]
  const dims = [...shape]
  if (datatype !== 'BYTES') return { type, dims, data }
  return { type, dims, data: data.map((element) => elementToText(element) ?? element) }
}

/** Tensors by the names of their specifications. */
export function giveTensors(
  names: readonly string[],
  tensors: readonly Tensor[],
): Record<string, HandlerTensor> {
  const given: [string, HandlerTensor][] = []
  for (const [index, name] of names.entries()) {
    const tensor = tensors[index]
    if (tensor !== undefined) given.push([name, giveTensor(tensor)])
  }
  return Object.fromEntries(given)
}

/** @throws TypeError for names that the model does not have. */
export function takeNames(names: unknown, specs: readonly TensorSpec[]): readonly string[] {
  const all = specs.map(({ name }) => name)
  if (names === undefined) return all
  if (!Array.isArray(names)) throw new TypeError('The outputs must be a list of names.')
  const wanted = names.map(String)
  const unknown = wanted.find((name) => !all.includes(name))
  if (unknown !== undefined) {
    const expected = listText(specs, 'output')
    throw new TypeError(`Unknown output ${quote(unknown)}; the model has ${expected}.`)
  }
  return [...new Set(wanted)]
}

function takeTensor(kind: 'Input' | 'Output', given: unknown, spec: TensorSpec): Tensor {
  const problem = (got: string): TypeError =>
    new TypeError(`${kind} ${quote(spec.name)}: expected ${specText(spec)}, got ${got}.`)
  if (!isObject(given) || !('type' in given && 'dims' in given && 'data' in given)) {
    throw problem('no tensor: it must be an object with type, dims and data')
  }
  const { type, dims, data } = given
  if (type !== TYPE_NAMES[spec.datatype]) throw problem(`the type ${quote(String(type))}`)
  const shape = sizesOf(dims)
  if (shape === undefined) throw problem('dims that are no list of sizes')
  if (!fitsShape(spec, shape)) throw problem(`dims ${shapeText(shape)}`)
  const { length } = Object(data) as { readonly length?: unknown }
  const wanted = elementCount(shape)
  if (spec.datatype === 'BYTES') {
    if (!Array.isArray(data) || !data.every((one): one is string => typeof one === 'string')) {
      throw problem('data that is no array of strings')
    }
    if (length !== wanted) throw problem(countProblem(shape, wanted, length))
    return { datatype: 'BYTES', shape, data: data.map(textToElement) }
  }
  const [name, isRight] = ARRAYS[spec.datatype]
  const elements = spec.datatype === 'FP16' ? bitsOfHalves(data) : data
  if (!isRight(elements)) throw problem(`data that is no ${name}`)
  if (length !== wanted) throw problem(countProblem(shape, wanted, length))
  return { datatype: spec.datatype, shape, data: elements as NumericData }
}

function countProblem(shape: readonly number[], wanted: number, length: unknown): string {
  return `${String(length)} elements in data, but dims ${shapeText(shape)} need ${wanted}`
}

/** New versions of Node have a `Float16Array`. */
function bitsOfHalves(data: unknown): unknown {
  if (!ArrayBuffer.isView(data) || Object.prototype.toString.call(data) !== '[object Float16Array]')
    return data
  return new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
}

function sizesOf(dims: unknown): readonly number[] | undefined {
  if (!Array.isArray(dims)) return undefined
  const isSize = (size: unknown): size is number =>
    typeof size === 'number' && Number.isSafeInteger(size) && size >= 0
  return dims.every(isSize) ? [...dims] : undefined
}

/** For example `float32 [N,4]`. */
function specText({ datatype, dimensions, anyShape }: TensorSpec): string {
  const type: TensorType = TYPE_NAMES[datatype]
  if (anyShape === true) return `${type} of any shape`
  return `${type} ${shapeText(dimensions.map((size) => (size === '' ? '?' : size)))}`
}

function listText(specs: readonly TensorSpec[], noun: string): string {
  const shown = specs.slice(0, MAX_LISTED).map((spec) => `${quote(spec.name)} ${specText(spec)}`)
  const more = specs.length > MAX_LISTED ? ` and ${specs.length - MAX_LISTED} more` : ''
  return `${countText(specs.length, noun)}: ${shown.join(', ')}${more}`
}

/** A `ServerError` about the request of a client becomes an error of the handler. */
function asHandlerError(check: () => void): void {
  try {
    check()
  } catch (error) {
    throw error instanceof ServerError ? new TypeError(error.message, { cause: error }) : error
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
