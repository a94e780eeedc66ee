/**
 * Reads the elements of a gRPC input that are not raw bytes (`InferTensorContents`): numbers as
 * varints or fixed bytes, and strings.
 */
import { WireType } from '@bufbuild/protobuf/wire'
import { ServerError } from '../../../../../errors.ts'
import type { MessageReader } from '../../../../../formats/proto-message.ts'
import { bytesToElement, fileToElement } from '../../tensors/byte-strings.ts'
import { quote } from '../../tensors/error-text.ts'
import type { TensorSpec } from '../../tensors/metadata.ts'
import { checkDeclaredShape } from '../../tensors/shape.ts'
import { allocateData, dataFromBytes, elementBytes } from '../../tensors/tensor.ts'
import type { NumericData, NumericDatatype, Tensor } from '../../tensors/tensor.ts'

/** Name and number of the field for each datatype. */
const FIELDS: Readonly<Record<Exclude<NumericDatatype, 'FP16'>, readonly [string, number]>> = {
  BOOL: ['bool_contents', 1],
  INT8: ['int_contents', 2],
  INT16: ['int_contents', 2],
  INT32: ['int_contents', 2],
  INT64: ['int64_contents', 3],
  UINT8: ['uint_contents', 4],
  UINT16: ['uint_contents', 4],
  UINT32: ['uint_contents', 4],
  UINT64: ['uint64_contents', 5],
  FP32: ['fp32_contents', 6],
  FP64: ['fp64_contents', 7],
}
const BYTES_FIELD = ['bytes_contents', 8] as const
type VarintDatatype = Exclude<NumericDatatype, 'FP16' | 'FP32' | 'FP64'>

const MAX_VARINT_BYTES = 10
/** Of the bytes of a varint only the last one is smaller. */
const LAST_BYTE = 0x80

/**
 * Returns the tensor of an input. Without `contents` it has no elements.
 * @param shape The declared shape.
 * @throws ServerError 400 unless the elements are as many as the shape says, in the right field.
 */
export function tensorFromContents(
  spec: TensorSpec,
  contents: MessageReader | undefined,
  shape: readonly number[],
): Tensor {
  const { datatype } = spec
  if (datatype === 'FP16') throw refuse(spec, 'FP16 is only possible in "raw_input_contents"')
  const [name, number] = datatype === 'BYTES' ? BYTES_FIELD : FIELDS[datatype]
  const chunks = chunksOf(spec, contents, name, number)
  if (datatype === 'BYTES') {
    if (chunks.some(({ wire }) => wire !== WireType.LengthDelimited)) throw wrongElements(spec)
    const read = spec.holdsFiles === true ? fileToElement : bytesToElement
    const data = chunks.map(({ bytes }) => read(bytes))
    return { datatype, shape: checkDeclaredShape(spec, shape, data.length), data }
  }
  const data =
    datatype === 'FP32' || datatype === 'FP64'
      ? fixedElements(spec, datatype, chunks)
      : varintElements(spec, datatype, chunks, shape)
  return { datatype, shape: checkDeclaredShape(spec, shape, data.length), data }
}

/** One element, or a packed list of elements. */
interface Chunk {
  readonly wire: WireType
  readonly bytes: Buffer
}

function chunksOf(
  spec: TensorSpec,
  contents: MessageReader | undefined,
  name: string,
  number: number,
): Chunk[] {
  const chunks: Chunk[] = []
  while (contents?.next() === true) {
    if (contents.number !== number) {
      if (contents.start === contents.end) continue
      throw refuse(spec, `its elements must be in "${name}" or in "raw_input_contents"`)
    }
    const { wire, start, end } = contents
    chunks.push({ wire, bytes: contents.bytes.subarray(start, end) })
  }
  return chunks
}

function fixedElements(
  spec: TensorSpec,
  datatype: 'FP32' | 'FP64',
  chunks: readonly Chunk[],
): NumericData {
  const size = elementBytes(datatype)
  const single = datatype === 'FP32' ? WireType.Bit32 : WireType.Bit64
  for (const { wire, bytes } of chunks) {
    if (wire !== single && wire !== WireType.LengthDelimited) throw wrongElements(spec)
    if (bytes.length % size !== 0) throw wrongElements(spec)
  }
  const [only] = chunks
  const isWhole = chunks.length === 1 && only !== undefined
  return dataFromBytes(datatype, isWhole ? only.bytes : Buffer.concat(chunks.map((c) => c.bytes)))
}

/** Memory is allocated only for elements that the bytes contain, and as many as the shape says. */
function varintElements(
  spec: TensorSpec,
  datatype: VarintDatatype,
  chunks: readonly Chunk[],
  shape: readonly number[],
): NumericData {
  let count = 0
  for (const { wire, bytes } of chunks) {
    const isVarints = wire === WireType.Varint || wire === WireType.LengthDelimited
    if (!isVarints || (bytes.at(-1) ?? 0) >= LAST_BYTE) throw wrongElements(spec)
    for (const byte of bytes) if (byte < LAST_BYTE) count += 1
  }
  checkDeclaredShape(spec, shape, count)
  const data = allocateData(datatype, count)
  const store = datatype === 'BOOL' ? storeOfFlags(data) : storeOf(data)
  let index = 0
  for (const { bytes } of chunks) {
    for (let at = 0; at < bytes.length; index += 1) {
      const end = readVarint(bytes, at)
      if (end - at > MAX_VARINT_BYTES || !store(index, low, high)) throw outOfRange(spec)
      at = end
    }
  }
  return data
}

type Store = (index: number, lower: number, upper: number) => boolean

/** The two halves of the varint that {@link readVarint} read last. An object would cost memory. */
let low = 0
let high = 0

function readVarint(bytes: Buffer, start: number): number {
  let at = start
  let shift = 0
  low = 0
  high = 0
  for (;;) {
    const byte = bytes[at++] ?? 0
    const bits = byte & 0x7f
    if (shift < 28) low |= bits << shift
    else if (shift === 28) {
      low |= bits << 28
      high = bits >> 4
    } else high |= bits << (shift - 32)
    if (byte < LAST_BYTE) return at
    shift += 7
  }
}

/** Stores 1 for every number but 0, as protocol buffers read a boolean. */
function storeOfFlags(data: NumericData): Store {
  return (index, lower, upper) => {
    data[index] = (lower | upper) === 0 ? 0 : 1
    return true
  }
}

/**
 * Returns a function that stores an element, given as its lower and upper 32 bits. It returns false
 * for a number that the datatype does not have.
 */
function storeOf(data: NumericData): Store {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const words = new Int32Array(data.buffer)
    return (index, lower, upper) => {
      words[2 * index] = lower
      words[2 * index + 1] = upper
      return true
    }
  }
  if (data instanceof Uint32Array) {
    return (index, lower) => {
      data[index] = lower
      return true
    }
  }
  return (index, lower) => {
    data[index] = lower
    return data[index] === lower
  }
}

function outOfRange(spec: TensorSpec): ServerError {
  return refuse(spec, `one of its "contents" is not a number of the datatype ${spec.datatype}`)
}

function wrongElements(spec: TensorSpec): ServerError {
  return refuse(spec, 'its "contents" are not valid')
}

function refuse(spec: TensorSpec, problem: string): ServerError {
  return new ServerError('InvalidInputException', `Input ${quote(spec.name)}: ${problem}.`)
}
