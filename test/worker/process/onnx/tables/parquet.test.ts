/** Parquet files as bodies. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServerError } from '../../../../../src/errors.ts'
import {
  PARQUET,
  binary,
  i32,
  i64,
  list,
  parquetFile,
  repeated,
  struct,
  withMetadata,
} from '../../../../helpers/parquet.ts'
import type { Codec, ParquetColumn, ParquetFile } from '../../../../helpers/parquet.ts'
import { randomNumbers, testSeed } from '../../../../helpers/random.ts'
import { TABLE_LIMITS, columnsModel, inputsOf, matrixModel } from '../../../../helpers/tables.ts'

const TYPE = 'application/vnd.apache.parquet'
const PEOPLE = columnsModel({ age: 'FP32', visits: 'INT64', isNew: 'BOOL', city: 'BYTES' })
const texts = (...values: readonly (string | null)[]) =>
  values.map((value) => (value === null ? null : Buffer.from(value)))
const COLUMNS: readonly ParquetColumn[] = [
  {
    name: 'city',
    type: PARQUET.BYTE_ARRAY,
    converted: 0,
    values: texts('Bern', '"Zürich"', '', 'Bern'),
  },
  { name: 'age', type: PARQUET.DOUBLE, values: [1.5, null, Number.NaN, Number.POSITIVE_INFINITY] },
  {
    name: 'visits',
    type: PARQUET.INT64,
    values: [1n, -2n, 9_007_199_254_740_993n, 0n],
    isOptional: false,
  },
  { name: 'isNew', type: PARQUET.BOOLEAN, values: [true, false, false, true] },
]
const WANTED = [
  Float32Array.of(1.5, Number.NaN, Number.NaN, Number.POSITIVE_INFINITY),
  BigInt64Array.of(1n, -2n, 9_007_199_254_740_993n, 0n),
  Uint8Array.of(1, 0, 0, 1),
  ['Bern', '"Zürich"', '', 'Bern'],
]

async function dataOf(file: Buffer | ParquetFile, model = PEOPLE, type = TYPE): Promise<unknown> {
  const body = Buffer.isBuffer(file) ? file : parquetFile(file)
  return (await inputsOf(model, body, type)).map(({ data }) => data)
}

/** `status message` of the error. */
async function problem(file: Buffer | ParquetFile, model = PEOPLE): Promise<string> {
  try {
    await dataOf(file, model)
  } catch (error) {
    if (error instanceof ServerError) return `${error.statusCode} ${error.message}`
    throw error
  }
  return 'no error'
}

test('columns come by name, in every encoding, codec and version of pages', async () => {
  const codecs: readonly Codec[] = ['none', 'snappy', 'gzip', 'brotli']
  for (const codec of codecs) {
    for (const version of [1, 2] as const) {
      for (const encoding of ['plain', 'dictionary'] as const) {
        const columns = COLUMNS.map((column) => ({
          ...column,
          codec,
          version,
          encoding: column.type === PARQUET.BOOLEAN ? ('plain' as const) : encoding,
        }))
        for (const groups of [[4], [1, 0, 3]]) {
          const found = await dataOf({ columns, groups })
          assert.deepEqual(found, WANTED, `${codec} ${version} ${encoding} ${groups.join()}`)
        }
      }
    }
  }
  const split = COLUMNS.map((column) =>
    column.type === PARQUET.DOUBLE || column.type === PARQUET.INT64
      ? { ...column, encoding: 'split' as const }
      : column,
  )
  assert.deepEqual(await dataOf({ columns: split }), WANTED)
})

test('the first bytes tell a Parquet file from raw bytes', async () => {
  for (const type of [
    '',
    'application/octet-stream',
    'application/x-parquet',
    'application/parquet',
  ]) {
    assert.deepEqual(await dataOf({ columns: COLUMNS }, PEOPLE, type), WANTED, type)
  }
})

test('integers of all sizes, half floats and runs of Booleans are numbers', async () => {
  const model = columnsModel({
    a: 'UINT32',
    b: 'UINT64',
    c: 'FP16',
    d: 'BOOL',
    e: 'INT32',
    f: 'FP64',
  })
  const half = (bits: number): Buffer => Buffer.of(bits & 0xff, bits >> 8)
  const found = await dataOf(
    {
      columns: [
        { name: 'a', type: PARQUET.INT32, converted: 13, values: [-1, 7] },
        { name: 'b', type: PARQUET.INT64, converted: 14, values: [-1n, 7n] },
        {
          name: 'c',
          type: PARQUET.FIXED,
          length: 2,
          logical: 15,
          values: [half(0x3c00), half(0xc000)],
        },
        {
          name: 'd',
          type: PARQUET.BOOLEAN,
          values: [true, true],
          encoding: 3,
          page: Buffer.concat([i32Bytes(2), repeated(1, 2, 1)]),
        },
        { name: 'e', type: PARQUET.FLOAT, values: [3, -4] },
        { name: 'f', type: PARQUET.FLOAT, values: [0.5, null] },
      ],
    },
    model,
  )
  assert.deepEqual(found, [
    Uint32Array.of(4_294_967_295, 7),
    BigUint64Array.of(18_446_744_073_709_551_615n, 7n),
    Uint16Array.of(0x3c00, 0xc000),
    Uint8Array.of(1, 1),
    Int32Array.of(3, -4),
    Float64Array.of(0.5, Number.NaN),
  ])
})

test('the columns of one input come by name, or in their order without names', async () => {
  const columns = [
    { name: 'b', type: PARQUET.INT32, values: [1, 2] },
    { name: 'a', type: PARQUET.INT32, values: [3, 4] },
    { name: '__index_level_0__', type: PARQUET.INT64, values: [0n, 1n] },
  ]
  const named = matrixModel('FP32', 2, { columns: ['a', 'b'] })
  assert.deepEqual(await dataOf({ columns }, named), [Float32Array.of(3, 1, 4, 2)])
  assert.deepEqual(await dataOf({ columns }, matrixModel('FP32', 2)), [Float32Array.of(1, 3, 2, 4)])
})

test('mistakes name the row, the column and the next step', async () => {
  const [city, age, visits, isNew] = COLUMNS
  assert.ok(city && age && visits && isNew)
  const others = { city, age, visits, isNew }
  const ask = (changed: Partial<typeof others>, extra: readonly ParquetColumn[] = []) =>
    problem({ columns: [...Object.values({ ...others, ...changed }), ...extra] })
  const times: ParquetColumn = {
    name: 'age',
    type: PARQUET.INT64,
    converted: 10,
    values: [1n, 2n, 3n, 4n],
  }
  assert.match(
    await ask({ age: times }),
    /^415 Column "age" of the Parquet file contains timestamps; convert it to a number/,
  )
  assert.match(
    await ask({
      age: { ...times, type: PARQUET.INT96, values: [12, 12, 12, 12].map((n) => Buffer.alloc(n)) },
    }),
    /timestamps/,
  )
  assert.match(
    await ask({ age: { ...times, converted: 5 } }),
    /^415 .* contains decimals; convert it with astype\(float\)/,
  )
  assert.match(await ask({}, [times]), /^400 Column "age" occurs twice/)
  assert.match(
    await ask({ visits: { ...visits, isOptional: true, values: [1n, null, 2n, 3n] } }),
    /^400 Row 2, column "visits": the value is missing, and only float/,
  )
  assert.match(
    await ask({ visits: { ...visits, type: PARQUET.DOUBLE, values: [1, 2.5, 2, 3] } }),
    /^400 Row 2, column "visits": "2.5" is not a whole number/,
  )
  assert.match(
    await ask({ age: { ...city, name: 'age' } }),
    /^400 Row 1, column "age": "Bern" is not a number/,
  )
  assert.match(
    await ask({ city: { ...city, values: [0xff, 1, 2, 3].map((byte) => Buffer.of(byte)) } }),
    /^400 Row 1, column "city": the bytes are not a text/,
  )
  assert.match(
    await ask({ city: { ...visits, name: 'city' } }),
    /^400 Row 1, column "city": "1" is not a text/,
  )
  assert.match(
    await ask({}, [{ ...age, name: 'height' }]),
    /^400 Unknown column "height".*"extraColumns": "ignore"/,
  )
  assert.match(await problem({ columns: [city, age] }), /^400 Missing columns "visits", "isNew"/)
  assert.match(
    await ask({ age: { ...age, codec: 'zstd', claims: { codec: 3 } } }),
    /^415 Column "age" of the Parquet file is compressed with LZO; write it with compression="snappy"/,
  )
  assert.match(
    await ask({ age: { ...age, encoding: 5 } }),
    /^415 .*has the encoding 5; write it with pandas or pyarrow/,
  )
  const noTable = await problem(
    { columns: COLUMNS },
    columnsModel(
      {},
      { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, -1, 3], dimensions: [] }] },
    ),
  )
  assert.match(noTable, /^415 The model does not take tables/)
})

test('a file that claims much more than it has is rejected before memory grows', async () => {
  const model = matrixModel('FP32', 1)
  const one = (changes: Partial<ParquetColumn>, rows?: number): ParquetFile => ({
    columns: [{ name: 'x', type: PARQUET.INT32, values: [1], isOptional: false, ...changes }],
    ...(rows === undefined ? {} : { rows }),
  })
  const before = process.memoryUsage().rss
  const huge = 2 ** 31 - 1
  const cases: readonly (readonly [ParquetFile | Buffer, RegExp])[] = [
    [one({}, 2 ** 40), /^413 The table has 1099511627776 cells/],
    [
      one({ claims: { size: huge } }),
      /^413 The columns of the Parquet file are larger than the limit/,
    ],
    [one({ claims: { count: huge } }), /^400 .*a page has too many values/],
    [one({ claims: { count: huge } }, 2 ** 24), /^400 .*a page has too many values/],
    [one({}, 2 ** 24), /^400 .*damaged/],
    [
      one({ codec: 'gzip', page: Buffer.alloc(2 ** 24), claims: { size: 4 } }),
      /^400 .*cannot be decompressed/,
    ],
    [
      one({ codec: 'snappy', page: Buffer.alloc(64), claims: { size: 1000 } }),
      /^400 .*cannot be decompressed/,
    ],
    [
      one({ encoding: 8, page: Buffer.concat([Buffer.of(32), repeated(5, 2 ** 28, 4)]) }),
      /^400 .*not in its dictionary/,
    ],
    [one({ encoding: 8, page: Buffer.of(200) }), /^400 .*wrong bit width/],
    [
      withMetadata(Buffer.from('PAR1'), struct([2, list(12, [], huge)]).bytes),
      /^400 .*a list of its metadata is too long/,
    ],
    [withMetadata(Buffer.from('PAR1'), Buffer.alloc(1000, 0x1c)), /^400 .*nested too deeply/],
    [
      withMetadata(Buffer.from('PAR1'), Buffer.concat([Buffer.of(0x36), Buffer.alloc(1e6, 0xff)])),
      /^400 .*more than 64 bits/,
    ],
    [
      withMetadata(Buffer.from('PAR1'), Buffer.alloc(9 * 1024 * 1024)),
      /^400 .*its metadata has \d+ bytes/,
    ],
    [
      withMetadata(
        Buffer.from('PAR1'),
        struct([2, list(12, [struct([4, binary('r')], [5, i32(huge)])])], [3, i64(0)]).bytes,
      ),
      /^400 .*schema is cut off/,
    ],
    [Buffer.from('PAR1PAR1'), /^400 .*cut off/],
    [Buffer.from('PAR1aaaaaaaaaaaaaaPARE'), /^400 .*encrypted/],
    [Buffer.from('PAR1\u00ff\u00ff\u00ff\u00ffPAR1', 'latin1'), /^400 .*wrong length/],
    [Buffer.from('nothing'), /^400 .*cut off/],
  ]
  for (const [file, wanted] of cases) assert.match(await problem(file, model), wanted)
  const grown = process.memoryUsage().rss - before
  assert.ok(grown < 256 * 1024 * 1024, `the memory grew by ${grown} bytes`)
})

test('texts of a dictionary count as often as they occur', async () => {
  const long = Buffer.alloc(1024 * 1024, 'a')
  const columns = [
    {
      name: 'city',
      type: PARQUET.BYTE_ARRAY,
      encoding: 'dictionary' as const,
      values: Array.from({ length: 100 }, () => long),
    },
  ]
  const found = await problem({ columns }, columnsModel({ city: 'BYTES' }))
  assert.match(
    found,
    /^413 The columns of the Parquet file are larger than the limit of 67108864 bytes/,
  )
  assert.ok(TABLE_LIMITS.maxResponseBytes === 67_108_864)
})

const seed = testSeed()
const ROUNDS = 150

test(`damaged files are errors of the client, ONNXD_TEST_SEED=${seed}`, async () => {
  const { integer } = randomNumbers(seed)
  const files = (['none', 'snappy', 'gzip'] as const).flatMap((codec) =>
    ([1, 2] as const).map((version) =>
      parquetFile({ columns: COLUMNS.map((column) => ({ ...column, codec, version })) }),
    ),
  )
  let accepted = 0
  for (const file of files) {
    for (let round = 0; round < ROUNDS; round++) {
      const damagedFile = Buffer.from(file)
      for (let change = 0; change < 3; change++) {
        damagedFile[integer(4, file.length - 5)] = integer(0, 255)
      }
      const found = await problem(damagedFile)
      if (found === 'no error') accepted++
      else assert.match(found, /^4(?:00|13|15) /)
    }
  }
  assert.ok(accepted < files.length * ROUNDS)
})

function i32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}
