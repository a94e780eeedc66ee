/** Reads the pages of a column chunk. */
import { ServerError } from '../../../../../errors.ts'
import { damaged } from './damage.ts'
import { decompressPage } from './decompress.ts'
import type { Chunk, FileColumn } from './footer.ts'
import { HybridReader } from './hybrid.ts'
import { ThriftReader } from './thrift.ts'
import { dictionaryOf, valuesOf } from './values.ts'
import type { NextValue, Value } from './values.ts'

const DATA = 0
const DICTIONARY = 2
const DATA_V2 = 3
const RLE = 3
const LENGTH_BYTES = 4

/** Bytes that the pages of a file may have after decompression, with their headers. */
export class PageBudget {
  readonly #most: number
  #left: number

  constructor(bytes: number) {
    this.#most = bytes
    this.#left = bytes
  }

  /** @throws ServerError 413 */
  spend(bytes: number): void {
    this.#left -= bytes
    if (this.#left >= 0) return
    throw new ServerError(
      'PayloadTooLargeException',
      `The columns of the Parquet file are larger than the limit of ${this.#most} bytes; send it in parts.`,
    )
  }
}

/** A column in one row group. */
export interface ColumnPart {
  readonly chunk: Chunk
  readonly column: FileColumn
  readonly rows: number
}

/** Calls `add` for each value of a column; `undefined` is a missing value. */
export function readPages(
  file: Buffer,
  { chunk, column, rows }: ColumnPart,
  budget: PageBudget,
  add: (value: Value | undefined) => void,
): void {
  let dictionary: readonly Value[] | undefined
  let at = chunk.start
  for (let left = rows; left > 0;) {
    const header = readHeader(file, at)
    const { type, compressed, size, count, end } = header
    if (compressed < 0 || size < 0 || compressed > file.length - end)
      throw damaged('a page is cut off')
    budget.spend(end - at + compressed + size)
    const bytes = file.subarray(end, end + compressed)
    at = end + compressed
    if (type === DICTIONARY) {
      const page = decompressPage(bytes, chunk.codec, size, column.name)
      dictionary = dictionaryOf(page, count, column)
      continue
    }
    if (type !== DATA && type !== DATA_V2) continue
    if (count < 0 || count > left) throw damaged('a page has too many values')
    const page = dataPage(bytes, header, chunk, column)
    const next = valuesOf(page.values, header.encoding, column, dictionary)
    readValues(count, page.levels, next, add)
    left -= count
  }
}

function readValues(
  count: number,
  levels: HybridReader | undefined,
  next: NextValue,
  add: (value: Value | undefined) => void,
): void {
  for (let index = 0; index < count; index++) {
    add(levels?.next() === 0 ? undefined : next())
  }
}

interface PageHeader {
  readonly type: number
  readonly size: number
  readonly compressed: number
  readonly count: number
  readonly encoding: number
  readonly levelEncoding: number
  /** Bytes of the levels, of a page of the second version. */
  readonly levelBytes: number
  readonly repetitionBytes: number
  readonly isCompressed: boolean
  /** Offset after the header. */
  readonly end: number
}

function readHeader(file: Buffer, start: number): PageHeader {
  if (start < LENGTH_BYTES || start >= file.length) throw damaged('a page is outside of the file')
  const reader = new ThriftReader(file, start)
  let [type, size, compressed, count, encoding] = [-1, -1, -1, -1, -1]
  let [levelEncoding, levelBytes, repetitionBytes, isCompressed] = [RLE, 0, 0, true]
  reader.struct((id, memberType) => {
    if (id === 1) type = reader.integer()
    else if (id === 2) size = reader.integer()
    else if (id === 3) compressed = reader.integer()
    else if (id === 5 || id === 7 || id === 8) {
      reader.struct((member, inner) => {
        if (member === 1) count = reader.integer()
        else if (id === 8 && member === 4) encoding = reader.integer()
        else if (id === 8 && member === 5) levelBytes = reader.integer()
        else if (id === 8 && member === 6) repetitionBytes = reader.integer()
        else if (id === 8 && member === 7) isCompressed = inner === 1
        else if (id !== 8 && member === 2) encoding = reader.integer()
        else if (id === 5 && member === 3) levelEncoding = reader.integer()
        else reader.skip(inner)
      })
    } else reader.skip(memberType)
  })
  const levels = { levelEncoding, levelBytes, repetitionBytes, isCompressed }
  return { type, size, compressed, count, encoding, ...levels, end: reader.position }
}

/** Separates the levels, which say where values are missing, from the values. */
function dataPage(
  bytes: Buffer,
  header: PageHeader,
  { codec }: Chunk,
  { name, isOptional }: FileColumn,
): { readonly levels: HybridReader | undefined; readonly values: Buffer } {
  if (header.type === DATA_V2) {
    const { levelBytes, repetitionBytes, size, isCompressed } = header
    const start = levelBytes + repetitionBytes
    if (levelBytes < 0 || repetitionBytes < 0 || start > Math.min(bytes.length, size)) {
      throw damaged('a page is cut off')
    }
    const packed = bytes.subarray(start)
    const levels = new HybridReader(bytes.subarray(repetitionBytes, start), 1)
    const isPlain = !isCompressed || packed.length === 0
    const values = isPlain ? packed : decompressPage(packed, codec, size - start, name)
    return { levels: isOptional ? levels : undefined, values }
  }
  const page = decompressPage(bytes, codec, header.size, name)
  if (!isOptional) return { levels: undefined, values: page }
  if (header.levelEncoding !== RLE || page.length < LENGTH_BYTES) {
    throw damaged('a page has no levels')
  }
  const end = LENGTH_BYTES + page.readUInt32LE(0)
  if (end > page.length) throw damaged('a page is cut off')
  return {
    levels: new HybridReader(page.subarray(LENGTH_BYTES, end), 1),
    values: page.subarray(end),
  }
}
