/** Writes Parquet files: one chunk for each column of a row group, with any parts replaced. */
import { brotliCompressSync, gzipSync } from 'node:zlib'

/** A value; `null` where it is missing. Texts and other bytes are buffers. */
export type ParquetValue = number | bigint | boolean | Buffer | null

export const PARQUET = {
  BOOLEAN: 0,
  INT32: 1,
  INT64: 2,
  INT96: 3,
  FLOAT: 4,
  DOUBLE: 5,
  BYTE_ARRAY: 6,
  FIXED: 7,
} as const

export type Codec = 'none' | 'snappy' | 'gzip' | 'brotli' | 'zstd'
const CODECS: Readonly<Record<Codec, number>> = { none: 0, snappy: 1, gzip: 2, brotli: 4, zstd: 6 }

export interface ParquetColumn {
  readonly name: string
  readonly type: number
  readonly values: readonly ParquetValue[]
  /** Default true. */
  readonly isOptional?: boolean
  readonly converted?: number
  /** Number in the union `LogicalType`. */
  readonly logical?: number
  readonly length?: number
  readonly codec?: Codec
  readonly encoding?: 'plain' | 'dictionary' | 'split' | number
  /** Version of the data pages. */
  readonly version?: 1 | 2
  /** Replaces the bytes of the data page before compression. */
  readonly page?: Buffer
  /** Replaces lengths and numbers of values that the page header says. */
  readonly claims?: { readonly size?: number; readonly count?: number; readonly codec?: number }
}

export interface ParquetFile {
  readonly columns: readonly ParquetColumn[]
  /** Rows of each group; default one group. */
  readonly groups?: readonly number[]
  /** Number of rows that the metadata claims. */
  readonly rows?: number
}

export function parquetFile({ columns, groups, rows }: ParquetFile): Buffer {
  const count = columns[0]?.values.length ?? 0
  const parts: Buffer[] = [Buffer.from('PAR1')]
  let offset = 4
  let row = 0
  const rowGroups = (groups ?? [count]).map((size) => {
    const from = row
    row += size
    const chunks = columns.map((column) => {
      const start = offset
      const values = column.values.slice(from, row)
      for (const page of pagesOf(column, values)) {
        parts.push(page)
        offset += page.length
      }
      return chunkOf(column, start, values.length)
    })
    return struct([1, list(12, chunks)], [2, i64(0)], [3, i64(rows ?? size)])
  })
  const root = struct([4, binary('schema')], [5, i32(columns.length)])
  const metadata = struct(
    [1, i32(2)],
    [2, list(12, [root, ...columns.map(elementOf)])],
    [3, i64(rows ?? count)],
    [4, list(12, rowGroups)],
  )
  return withMetadata(Buffer.concat(parts), metadata.bytes)
}

/** Adds metadata and the end of a file. */
export function withMetadata(start: Buffer, metadata: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(metadata.length)
  return Buffer.concat([start, metadata, length, Buffer.from('PAR1')])
}

function elementOf({ name, type, isOptional = true, converted, logical, length }: ParquetColumn) {
  return struct(
    [1, i32(type)],
    ...(length === undefined ? [] : [[2, i32(length)] as const]),
    [3, i32(isOptional ? 1 : 0)],
    [4, binary(name)],
    ...(converted === undefined ? [] : [[6, i32(converted)] as const]),
    ...(logical === undefined ? [] : [[10, struct([logical, struct()])] as const]),
  )
}

function chunkOf(
  { name, type, codec = 'none', claims = {} }: ParquetColumn,
  start: number,
  count: number,
) {
  const facts = struct(
    [1, i32(type)],
    [2, list(5, [])],
    [3, list(8, [binary(name)])],
    [4, i32(claims.codec ?? CODECS[codec])],
    [5, i64(count)],
    [6, i64(0)],
    [7, i64(0)],
    [9, i64(start)],
  )
  return struct([2, i64(start)], [3, facts])
}

function pagesOf(column: ParquetColumn, values: readonly ParquetValue[]): Buffer[] {
  const { codec = 'none', encoding = 'plain', isOptional = true, version = 1 } = column
  const present = values.filter((value) => value !== null)
  const distinct = [...new Set(present)]
  const isDictionary = encoding === 'dictionary'
  const pages: Buffer[] = []
  if (isDictionary) {
    const page = Buffer.concat(distinct.map((value) => plain(column, value)))
    const packed = compress(codec, page)
    const facts = struct([1, i32(distinct.length)], [2, i32(0)])
    pages.push(
      struct([1, i32(2)], [2, i32(page.length)], [3, i32(packed.length)], [7, facts]).bytes,
      packed,
    )
  }
  const data =
    column.page ??
    (isDictionary
      ? Buffer.concat([
          Buffer.of(32),
          ...present.map((value) =>
            repeated(
              distinct.findIndex((one) => Object.is(one, value)),
              1,
              4,
            ),
          ),
        ])
      : encoding === 'split'
        ? split(present.map((value) => plain(column, value)))
        : column.type === PARQUET.BOOLEAN
          ? bits(present.map((value) => value === true))
          : Buffer.concat(present.map((value) => plain(column, value))))
  const levels = isOptional
    ? Buffer.concat(values.map((value) => repeated(value === null ? 0 : 1, 1, 1)))
    : Buffer.alloc(0)
  const count = column.claims?.count ?? values.length
  const number =
    typeof encoding === 'number' ? encoding : { plain: 0, dictionary: 8, split: 9 }[encoding]
  if (version === 2) {
    const packed = compress(codec, data)
    const facts = struct(
      [1, i32(count)],
      [2, i32(count - present.length)],
      [3, i32(count)],
      [4, i32(number)],
      [5, i32(levels.length)],
      [6, i32(0)],
    )
    const size = column.claims?.size ?? levels.length + data.length
    const header = struct(
      [1, i32(3)],
      [2, i32(size)],
      [3, i32(levels.length + packed.length)],
      [8, facts],
    )
    return [...pages, header.bytes, levels, packed]
  }
  const length = Buffer.alloc(isOptional ? 4 : 0)
  if (isOptional) length.writeUInt32LE(levels.length)
  const page = Buffer.concat([length, levels, data])
  const packed = compress(codec, page)
  const facts = struct([1, i32(count)], [2, i32(number)], [3, i32(3)], [4, i32(3)])
  const size = column.claims?.size ?? page.length
  return [
    ...pages,
    struct([1, i32(0)], [2, i32(size)], [3, i32(packed.length)], [5, facts]).bytes,
    packed,
  ]
}

/** A run of one value that is repeated. */
export function repeated(value: number, count: number, bytes: number): Buffer {
  const run = Buffer.alloc(bytes)
  run.writeUIntLE(value, 0, bytes)
  return Buffer.concat([varint(BigInt(count * 2)), run])
}

function plain({ type, length = 0 }: ParquetColumn, value: ParquetValue): Buffer {
  const bytes = Buffer.alloc(8)
  if (Buffer.isBuffer(value)) {
    if (type === PARQUET.FIXED || type === PARQUET.INT96) return value.subarray(0, length || 12)
    bytes.writeUInt32LE(value.length)
    return Buffer.concat([bytes.subarray(0, 4), value])
  }
  if (type === PARQUET.INT64) bytes.writeBigInt64LE(BigInt.asIntN(64, BigInt(value ?? 0)))
  else if (type === PARQUET.DOUBLE) bytes.writeDoubleLE(Number(value))
  else if (type === PARQUET.FLOAT) bytes.writeFloatLE(Number(value))
  else bytes.writeInt32LE(Number(value) | 0)
  return bytes.subarray(0, type === PARQUET.INT64 || type === PARQUET.DOUBLE ? 8 : 4)
}

function bits(values: readonly boolean[]): Buffer {
  const bytes = Buffer.alloc(Math.ceil(values.length / 8))
  for (const [index, value] of values.entries()) {
    if (value) bytes[index >> 3] = (bytes[index >> 3] ?? 0) | (1 << (index & 7))
  }
  return bytes
}

function split(values: readonly Buffer[]): Buffer {
  const size = values[0]?.length ?? 0
  return Buffer.concat(
    Array.from({ length: size }, (_, at) => Buffer.from(values.map((one) => one[at] ?? 0))),
  )
}

function compress(codec: Codec, bytes: Buffer): Buffer {
  if (codec === 'gzip') return gzipSync(bytes)
  if (codec === 'brotli') return brotliCompressSync(bytes)
  return codec === 'snappy' ? snappy(bytes) : bytes
}

/** Literals, and copies of 4 to 11 bytes where the bytes repeat the 4 bytes before. */
function snappy(bytes: Buffer): Buffer {
  const parts = [varint(BigInt(bytes.length))]
  let at = 0
  while (at < bytes.length) {
    let same = 0
    while (
      at >= 4 &&
      same < 11 &&
      at + same < bytes.length &&
      bytes[at + same] === bytes[at + same - 4]
    )
      same++
    if (same >= 4) {
      parts.push(Buffer.of(1 | ((same - 4) << 2), 4))
      at += same
    } else {
      const count = Math.min(4, bytes.length - at)
      parts.push(Buffer.of((count - 1) << 2), bytes.subarray(at, at + count))
      at += count
    }
  }
  return Buffer.concat(parts)
}

/** A value of Thrift's compact protocol with its type. */
interface Thrift {
  readonly type: number
  readonly bytes: Buffer
}

export function struct(...members: readonly (readonly [id: number, value: Thrift])[]): Thrift {
  let last = 0
  const parts = members.flatMap(([id, { type, bytes }]) => {
    const head = Buffer.of(((id - last) << 4) | type)
    last = id
    return [head, bytes]
  })
  return { type: 12, bytes: Buffer.concat([...parts, Buffer.of(0)]) }
}

export function list(type: number, elements: readonly Thrift[], count = elements.length): Thrift {
  const head =
    count < 15
      ? Buffer.of((count << 4) | type)
      : Buffer.concat([Buffer.of(0xf0 | type), varint(BigInt(count))])
  return { type: 9, bytes: Buffer.concat([head, ...elements.map(({ bytes }) => bytes)]) }
}

export function i32(value: number): Thrift {
  return { type: 5, bytes: zigzag(value) }
}

export function i64(value: number): Thrift {
  return { type: 6, bytes: zigzag(value) }
}

export function binary(text: string): Thrift {
  const bytes = Buffer.from(text)
  return { type: 8, bytes: Buffer.concat([varint(BigInt(bytes.length)), bytes]) }
}

function zigzag(value: number): Buffer {
  const big = BigInt(value)
  return varint(BigInt.asUintN(64, (big << 1n) ^ (big >> 63n)))
}

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  for (let left = value; ; left >>= 7n) {
    if (left < 0x80n) return Buffer.from([...bytes, Number(left)])
    bytes.push(Number(left & 0x7fn) | 0x80)
  }
}
