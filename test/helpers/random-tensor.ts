/** Random tensors, as bytes and as the text of JSON. */
import { halfToNumber } from '../../src/worker/process/onnx/tensors/half.ts'
import {
  allocateData,
  bytesOfData,
  dataFromBytes,
} from '../../src/worker/process/onnx/tensors/tensor.ts'
import type { Datatype, NumericDatatype } from '../../src/worker/process/onnx/tensors/tensor.ts'
import { binaryElements } from './infer.ts'
import type { RandomNumbers } from './random.ts'

export interface RandomTensor {
  readonly datatype: Datatype
  readonly shape: readonly number[]
  /** As the protocol's binary data. */
  readonly bytes: Buffer
  /** Each element in JSON. */
  readonly texts: readonly string[]
}

const CHARACTERS = ['', 'a', 'é', '€', '😀', '\0', '"', '\\', '\n', '\u{10fe00}', '\u2028']
/** The only NaN that JSON can say. */
const NANS: Partial<Record<Datatype, string>> = {
  FP16: '007e',
  FP32: '0000c07f',
  FP64: '000000000000f87f',
}

export function randomTensor(random: RandomNumbers, datatype: Datatype): RandomTensor {
  const shape = [random.integer(0, 4), random.integer(0, 9)]
  const count = (shape[0] ?? 0) * (shape[1] ?? 0)
  if (datatype === 'BYTES') {
    const elements = Array.from({ length: count }, () => randomText(random))
    const texts = elements.map((element) => JSON.stringify(element))
    return { datatype, shape, texts, bytes: binaryElements(elements) }
  }
  const bytes = bytesOfData(allocateData(datatype, count))
  for (let index = 0; index < bytes.length; index++) bytes[index] = random.integer(0, 255)
  if (datatype === 'BOOL') for (const [index, byte] of bytes.entries()) bytes[index] = byte & 1
  const data = dataFromBytes(datatype, bytes)
  const nan = Buffer.from(NANS[datatype] ?? '', 'hex')
  const texts = Array.from({ length: count }, (_, index) => {
    const value = data[index] ?? 0
    const text = textOf(datatype, value)
    if (text === 'NaN') nan.copy(bytes, index * nan.length)
    return text
  })
  return { datatype, shape, bytes, texts }
}

/** The elements as nested arrays with random white space. */
export function nestedText(random: RandomNumbers, { shape, texts }: RandomTensor): string {
  const [rows = 0, columns = 0] = shape
  const row = (index: number): string =>
    `[${texts.slice(index * columns, (index + 1) * columns).join(space(random, ','))}]`
  return `[${Array.from({ length: rows }, (_, index) => row(index)).join(space(random, ','))}]`
}

function space(random: RandomNumbers, comma: string): string {
  return [comma, ` ${comma}`, `${comma}\n\t`, `\r${comma} `][random.integer(0, 3)] ?? comma
}

function randomText(random: RandomNumbers): string {
  const characters = Array.from({ length: random.integer(0, 6) }, () =>
    random.next() < 0.2
      ? String.fromCodePoint(random.integer(0xe000, 0x10_ffff))
      : CHARACTERS[random.integer(0, CHARACTERS.length - 1)],
  )
  return characters.join('')
}

function textOf(datatype: NumericDatatype, value: number | bigint): string {
  if (datatype === 'BOOL') return value === 1 ? 'true' : 'false'
  const number = datatype === 'FP16' ? halfToNumber(Number(value)) : value
  return Object.is(number, -0) ? '-0' : String(number)
}
