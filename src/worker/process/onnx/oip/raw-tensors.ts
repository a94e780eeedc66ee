/**
 * Tensors that a worker passes from one model to the next: bytes in the form of the binary tensor
 * data extension, which no model in between decodes.
 */
import type { Datatype } from '../../../../contract/datatypes.ts'
import { ServerError, messageOf } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { bytesOfData } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { elementsByteLength, writeElements } from './binary-elements.ts'
import { tensorFromBinary } from './binary-request.ts'

/** A tensor as bytes. */
export interface RawTensor {
  readonly datatype: string
  readonly shape: readonly number[]
  readonly bytes: Buffer
}

/** A body with JSON before the tensors. */
export interface RawBody {
  readonly body: Buffer
  readonly jsonLength: number
}

/** The data of each tensor begins at a multiple of this if its size is one, so none is copied. */
const ALIGNMENT = 8

export function rawOf(
  tensor: Tensor,
  { holdsFiles = false }: Pick<TensorSpec, 'holdsFiles'>,
): RawTensor {
  const { datatype, shape } = tensor
  if (tensor.datatype !== 'BYTES') return { datatype, shape, bytes: bytesOfData(tensor.data) }
  if (holdsFiles) return { datatype, shape, bytes: bytesOfFiles(tensor.data) }
  const bytes = Buffer.allocUnsafe(elementsByteLength(tensor.data))
  writeElements(tensor.data, bytes, 0)
  return { datatype, shape, bytes }
}

/** Such an element has one character for each byte. */
function bytesOfFiles(files: readonly string[]): Buffer {
  const parts = files.flatMap((file) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(file.length)
    return [length, Buffer.from(file, 'latin1')]
  })
  return Buffer.concat(parts)
}

/**
 * @param spec The shape need not fit: a model may have outputs that differ from its declaration.
 * @throws ServerError 500 for bytes that are not such a tensor.
 */
export function tensorOf(spec: TensorSpec, { datatype, shape, bytes }: RawTensor): Tensor {
  if (datatype !== spec.datatype) {
    const text = `The output ${quote(spec.name)} is ${quote(datatype)}, but ${spec.datatype} is expected.`
    throw new ServerError('InternalServerException', text)
  }
  try {
    return tensorFromBinary({ ...spec, anyShape: true }, bytes, shape)
  } catch (cause) {
    throw new ServerError('InternalServerException', messageOf(cause), { cause })
  }
}

/** Writes the request to a model. @param outputs Names of the outputs to return. */
export function writeRawRequest(
  inputs: ReadonlyMap<string, RawTensor>,
  outputs: readonly string[],
): RawBody {
  const json = JSON.stringify({
    inputs: [...inputs].map(([name, { datatype, shape, bytes }]) => ({
      name,
      datatype,
      shape,
      parameters: { binary_data_size: bytes.length },
    })),
    outputs: outputs.map((name) => ({ name, parameters: { binary_data: true } })),
  })
  const length = Buffer.byteLength(json)
  const padding = ' '.repeat((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT)
  const parts = [Buffer.from(json + padding), ...[...inputs.values()].map(({ bytes }) => bytes)]
  return { body: Buffer.concat(parts), jsonLength: length + padding.length }
}

/**
 * Reads the response of a model.
 * @param jsonLength Value of the header with the number of bytes of JSON; absent: all.
 * @throws ServerError 500 for a response without binary tensors.
 */
export function readRawResponse(
  body: Buffer,
  jsonLength: string | undefined,
): ReadonlyMap<string, RawTensor> {
  let at = jsonLength === undefined ? body.length : Number(jsonLength)
  const outputs = outputsIn(body.toString('utf8', 0, at))
  const tensors = new Map<string, RawTensor>()
  for (const output of outputs) {
    const size = output.parameters?.binary_data_size
    if (size === undefined || size > body.length - at) throw invalid()
    const { name, datatype, shape } = output
    tensors.set(name, { datatype, shape, bytes: body.subarray(at, at + size) })
    at += size
  }
  return tensors
}

interface WrittenOutput {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly parameters?: { readonly binary_data_size?: number }
}

function outputsIn(json: string): readonly WrittenOutput[] {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw invalid()
  }
  const outputs = typeof value === 'object' && value !== null && 'outputs' in value && value.outputs
  if (Array.isArray(outputs) && outputs.every(isOutput)) return outputs
  throw invalid()
}

function isOutput(value: unknown): value is WrittenOutput {
  if (typeof value !== 'object' || value === null) return false
  const { name, datatype, shape, parameters }: Partial<Record<string, unknown>> = { ...value }
  const isShape = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size))
  const isPlain =
    parameters === undefined || (typeof parameters === 'object' && parameters !== null)
  return typeof name === 'string' && typeof datatype === 'string' && isShape && isPlain
}

function invalid(): ServerError {
  return new ServerError('InternalServerException', 'its response has no binary tensors')
}
