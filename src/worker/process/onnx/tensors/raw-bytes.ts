/** Raw tensor bytes: little-endian, row-major, nothing else. */
import { ServerError } from '../../../../errors.ts'
import { countText, quote, shapeText, specText } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'
import { deduceShape, fitDeclaredShape } from './shape.ts'
import { bytesOfData, dataFromBytes, elementBytes, elementCount } from './tensor.ts'
import type { NumericTensor, Tensor } from './tensor.ts'

/**
 * Request header with the shape of the raw bytes in the body, such as `1,3,224,224`: needed where the model
 * leaves more than one dimension open. An answer in raw bytes carries it too, with the two below.
 */
export const SHAPE_HEADER = 'Tensor-Shape'
export const NAME_HEADER = 'Tensor-Name'
export const DATATYPE_HEADER = 'Tensor-Datatype'

/**
 * The bytes as the input's tensor: a view of them where they are aligned, else one copy. Without a declared
 * shape, a dimension that the model leaves open follows from their number.
 * @throws ServerError 400
 */
export function tensorFromOctets(
  spec: TensorSpec,
  bytes: Buffer,
  declaredShape?: readonly number[],
): NumericTensor {
  const { datatype } = spec
  if (datatype === 'BYTES') {
    throw refuse(spec, 'raw bytes cannot be cut into strings; send a JSON array of strings')
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
      : 'more bytes than can be counted'
    throw refuse(
      spec,
      `${datatype} of shape ${shapeText(shape)} has ${wanted}, got ${bytes.length}`,
    )
  }
  const data = dataFromBytes(datatype, bytes)
  return { datatype, shape, data: datatype === 'BOOL' ? normalisedBits(data) : data }
}

/** Parses {@link SHAPE_HEADER}. @throws ServerError 400 */
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
 * A numeric output's bytes, not copied.
 * @throws ServerError 406 for strings
 */
export function octetsOfTensor(tensor: Tensor, name: string): Buffer {
  if (tensor.datatype === 'BYTES') {
    throw new ServerError(
      'InvalidInputException',
      `Output ${quote(name)} holds strings, which raw bytes cannot show; accept application/json.`,
      { statusCode: 406 },
    )
  }
  return bytesOfData(tensor.data)
}

function sizeError(spec: TensorSpec, given: number, elementSize: number): ServerError {
  if (spec.anyShape === true) {
    const text = `the model does not say its shape; say it in the header ${SHAPE_HEADER}, for example "1,4"`
    return refuse(spec, text)
  }
  const open = spec.shape.filter((dimension) => dimension < 0).length
  const expected = elementCount(spec.shape.map(Math.abs)) * elementSize
  const got = `got ${countText(given, 'byte')}`
  if (open === 0) return refuse(spec, `expected ${specText(spec)}, ${expected} bytes, ${got}`)
  if (open === 1)
    return refuse(spec, `expected ${specText(spec)}, a multiple of ${expected} bytes, ${got}`)
  const hint = `say the shape in the header ${SHAPE_HEADER}, for example "${spec.shape.map(Math.abs).join(',')}"`
  return refuse(spec, `${specText(spec)} leaves ${open} dimensions open; ${hint}`)
}

function refuse(spec: TensorSpec, problem: string): ServerError {
  return new ServerError('InvalidInputException', `Input ${quote(spec.name)}: ${problem}.`)
}

/** onnxruntime passes a byte of 2 through, so anything but 0 becomes 1; copied only when there is such a byte. */
function normalisedBits(data: NumericTensor['data']): NumericTensor['data'] {
  if (!(data instanceof Uint8Array) || !data.some((byte) => byte > 1)) return data
  return data.map((byte) => (byte === 0 ? 0 : 1))
}
