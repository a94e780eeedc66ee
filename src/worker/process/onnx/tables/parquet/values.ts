/** Reads the values of a page. */
import { halfToNumber } from '../../tensors/half.ts'
import { damaged, unsupported } from './damage.ts'
import { PHYSICAL } from './footer.ts'
import type { FileColumn } from './footer.ts'
import { HybridReader, bitsAt } from './hybrid.ts'

/** A value of a column. Texts are bytes. */
export type Value = number | bigint | boolean | Buffer

/** Returns the next value. */
export type NextValue = () => Value

const PLAIN = 0
const PLAIN_DICTIONARY = 2
const RLE = 3
const RLE_DICTIONARY = 8
const BYTE_STREAM_SPLIT = 9
const LENGTH_BYTES = 4
const HALF_BYTES = 2
const SIZES: ReadonlyMap<number, number> = new Map([
  [PHYSICAL.INT32, 4],
  [PHYSICAL.INT64, 8],
  [PHYSICAL.FLOAT, 4],
  [PHYSICAL.DOUBLE, 8],
])

/**
 * Reads the values of a data page, one after the other.
 * @throws ServerError 400 when the page ends too early, 415 for an unsupported encoding
 */
export function valuesOf(
  page: Buffer,
  encoding: number,
  column: FileColumn,
  dictionary: readonly Value[] | undefined,
): NextValue {
  if (encoding === PLAIN) return plainValues(page, column)
  if (encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY) {
    return dictionaryValues(page, dictionary ?? [])
  }
  if (encoding === RLE && column.physical === PHYSICAL.BOOLEAN) {
    const runs = new HybridReader(page.subarray(LENGTH_BYTES), 1)
    return () => runs.next() === 1
  }
  const size = sizeOf(column)
  if (encoding === BYTE_STREAM_SPLIT && size !== undefined) return splitValues(page, column, size)
  throw unsupported(
    column.name,
    `has the encoding ${encoding}`,
    'write it with pandas or pyarrow and their default encodings',
  )
}

/** Reads all values of a dictionary page. */
export function dictionaryOf(page: Buffer, count: number, column: FileColumn): readonly Value[] {
  const least = sizeOf(column) ?? LENGTH_BYTES
  if (count < 0 || count * least > page.length) throw damaged('a dictionary is cut off')
  const next = plainValues(page, column)
  return Array.from({ length: count }, next)
}

function dictionaryValues(page: Buffer, dictionary: readonly Value[]): NextValue {
  const runs = new HybridReader(page.subarray(1), page[0] ?? 0)
  return () => {
    const value = dictionary[runs.next()]
    if (value === undefined) throw damaged('a value is not in its dictionary')
    return value
  }
}

function sizeOf({ physical, length }: FileColumn): number | undefined {
  return physical === PHYSICAL.FIXED ? length : SIZES.get(physical)
}

function plainValues(page: Buffer, column: FileColumn): NextValue {
  let at = 0
  if (column.physical === PHYSICAL.BOOLEAN) return () => bitsAt(page, at++, 1) === 1
  const size = sizeOf(column)
  const take = (count: number): number => {
    if (count > page.length - at) throw damaged('a page is cut off')
    at += count
    return at - count
  }
  if (size !== undefined) return () => fixedValue(page, take(size), column)
  return () => {
    const length = page.readUInt32LE(take(LENGTH_BYTES))
    const start = take(length)
    return page.subarray(start, start + length)
  }
}

/** The first bytes of all values, then their second bytes, and so on. */
function splitValues(page: Buffer, column: FileColumn, size: number): NextValue {
  const count = Math.floor(page.length / size)
  const value = Buffer.alloc(size)
  let index = 0
  return () => {
    if (index >= count) throw damaged('a page is cut off')
    for (let byte = 0; byte < size; byte++) value[byte] = page[byte * count + index] ?? 0
    index++
    return fixedValue(value, 0, column)
  }
}

function fixedValue(bytes: Buffer, at: number, { physical, kind }: FileColumn): Value {
  switch (physical) {
    case PHYSICAL.INT32:
      return kind === 'unsigned' ? bytes.readUInt32LE(at) : bytes.readInt32LE(at)
    case PHYSICAL.INT64:
      return kind === 'unsigned' ? bytes.readBigUInt64LE(at) : bytes.readBigInt64LE(at)
    case PHYSICAL.FLOAT:
      return bytes.readFloatLE(at)
    case PHYSICAL.DOUBLE:
      return bytes.readDoubleLE(at)
    default:
      return halfToNumber(bytes.readUInt16LE(at))
  }
}

/** Why a column cannot be read, to be completed by its name; `undefined` if it can. */
export function problemOf({ kind, physical, length }: FileColumn): [string, string] | undefined {
  if (typeof kind === 'object') return ADVICE[kind.other] ?? [`has the type ${kind.other}`, CONVERT]
  const isKnown = physical === PHYSICAL.BOOLEAN || physical === PHYSICAL.BYTE_ARRAY
  if (isKnown || SIZES.has(physical)) return undefined
  if (kind === 'half' && physical === PHYSICAL.FIXED && length === HALF_BYTES) return undefined
  return ['has an unknown type', CONVERT]
}

const CONVERT = 'convert it to numbers or texts before you write the file'
const TIMES = 'convert it to a number before you write the file, as the model was trained'
const ADVICE: Readonly<Record<string, [string, string]>> = {
  timestamp: ['contains timestamps', TIMES],
  date: ['contains dates', TIMES],
  time: ['contains times', TIMES],
  interval: ['contains intervals', TIMES],
  decimal: ['contains decimals', 'convert it with astype(float) before you write the file'],
  nested: ['contains lists or objects', 'write one column for each value'],
  list: ['contains lists or objects', 'write one column for each value'],
  map: ['contains lists or objects', 'write one column for each value'],
}
