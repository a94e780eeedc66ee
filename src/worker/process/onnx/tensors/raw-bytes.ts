/** Converts raw tensor bytes: little-endian, row-major, without a header. */
import { ServerError } from '../../../../errors.ts'
import { countText, quote, shapeText, specText } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'
import { deduceShape, fitDeclaredShape } from './shape.ts'
import { bytesOfData, dataFromBytes, elementBytes, elementCount } from './tensor.ts'
import type { NumericTensor, Tensor } from './tensor.ts'

/**
 * Request header with the shape of the raw bytes in the body, such as `1,3,224,224`. It is required
 * when the model has more than one variable dimension. A response in raw bytes has it too, together
 * with the two headers below.
 */
export const SHAPE_HEADER = 'Tensor-Shape'
export const NAME_HEADER = 'Tensor-Name'
export const DATATYPE_HEADER = 'Tensor-Datatype'

/**
 * Converts the bytes to the input's tensor: a view of them if they are aligned, otherwise a copy.
 * Without a declared shape, a variable dimension is computed from the number of bytes.
 * @throws ServerError 400
 */
export function tensorFromOctets(
  spec: TensorSpec,
  bytes: Buffer,
  declaredShape?: readonly number[],
): NumericTensor {
  const { datatype } = spec
  if (datatype === 'BYTES') {
    throw refuse(spec, 'raw bytes cannot be split into strings; send a JSON array of strings')
  }
  const size = elementBytes(datatype)
  const count = bytes.length / size
  const deduced = Number.isInteger(count) ? deduceShape(spec, count) : undefined
  const shape = declaredShape === undefined ? deduced : fitDeclaredShape(spec, declaredShape)
  if (shape === undefined) throw sizeError(spec, bytes.length, size)
  if (elementCount(shape) !== count) {
    const expected = elementCount(shape) * size
    const wanted = Number.isSafeInteger(expected)
      ? countText(expected, 'byte')
      : 'more bytes than supported'
    throw refuse(
      spec,
      `${datatype} of shape ${shapeText(shape)} has ${wanted}, got ${bytes.length}`,
    )
  }
  const data = dataFromBytes(datatype, bytes)
  return { datatype, shape, data: datatype === 'BOOL' ? normalisedBits(data) : data }
}

/**
 * Parses {@link SHAPE_HEADER}.
 * @throws ServerError 400
 */
export function parseShape(text: string): readonly number[] {
  const parts = text.trim() === '' ? [] : text.replace(/^\s*\[(.*)\]\s*$/, '$1').split(',')
  const shape = parts.map((part) => (/^\s*\d{1,15}\s*$/.test(part) ? Number(part) : -1))
  if (shape.includes(-1) || shape.length > 64) {
    throw new ServerError(
      'InvalidInputException',
      `Header ${SHAPE_HEADER} must be dimensions such as 1,3,224,224, got ${quote(text)}.`,
    )
  }
  return shape
}

/**
 * Returns the bytes of a numeric output without a copy.
 * @throws ServerError 406 for strings
 */
export function octetsOfTensor(tensor: Tensor, name: string): Buffer {
  if (tensor.datatype === 'BYTES') {
    throw new ServerError(
      'InvalidInputException',
      `Output ${quote(name)} contains strings, so the response cannot be raw bytes; accept application/json.`,
      { statusCode: 406 },
    )
  }
  return bytesOfData(tensor.data)
}

function sizeError(spec: TensorSpec, given: number, elementSize: number): ServerError {
  if (spec.anyShape === true) {
    const text = `the model does not declare the shape; send it in the header ${SHAPE_HEADER}, for example "1,4"`
    return refuse(spec, text)
  }
  const open = spec.shape.filter((dimension) => dimension < 0).length
  const expected = elementCount(spec.shape.map(Math.abs)) * elementSize
  const got = `got ${countText(given, 'byte')}`
  if (open === 0) return refuse(spec, `expected ${specText(spec)}, ${expected} bytes, ${got}`)
  if (open === 1)
    return refuse(spec, `expected ${specText(spec)}, a multiple of ${expected} bytes, ${got}`)
  const hint = `send the shape in the header ${SHAPE_HEADER}, for example "${spec.shape.map(Math.abs).join(',')}"`
  return refuse(spec, `${specText(spec)} has ${open} open dimensions; ${hint}`)
}

function refuse(spec: TensorSpec, problem: string): ServerError {
  return new ServerError('InvalidInputException', `Input ${quote(spec.name)}: ${problem}.`)
}

/**
 * Changes all BOOL bytes other than 0 to 1, because onnxruntime would keep a byte of 2. Copies only
 * if such a byte exists.
 */
function normalisedBits(data: NumericTensor['data']): NumericTensor['data'] {
  if (!(data instanceof Uint8Array) || !data.some((byte) => byte > 1)) return data
  return data.map((byte) => (byte === 0 ? 0 : 1))
}
