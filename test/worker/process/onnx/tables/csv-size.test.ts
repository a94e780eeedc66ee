/** CSV bodies that exceed a limit are rejected before they are read; others are read as before. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { ServerError } from '../../../../../src/errors.ts'
import { sizeOfCsv } from '../../../../../src/worker/process/onnx/tables/csv-size.ts'
import type { ModelMetadata } from '../../../../../src/worker/process/onnx/tensors/metadata.ts'
import { checkRows } from '../../../../../src/worker/process/onnx/tensors/shape.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import { columnsModel, inputsOf, matrixModel } from '../../../../helpers/tables.ts'

const MILLION = 1_000_000
const ROWS = 400_000
/** The parser of CSV needs several seconds for these bodies. */
const MOST_CPU_MS = 400

const people = columnsModel({ age: 'FP32', city: 'BYTES' })
const lenient = columnsModel({ age: 'FP32', city: 'BYTES' }, { ignoresExtraColumns: true })
const numbers = matrixModel('FP32', 3)
const fixed: ModelMetadata = {
  ...numbers,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 3], dimensions: [2, 3] }],
}
const limited: ModelMetadata = { ...numbers, maxBatchSize: 8 }

/** `status: message` of a request that must fail, and its CPU time. */
async function refusal(
  model: ModelMetadata,
  body: string,
  type = 'text/csv',
): Promise<{ text: string; ms: number }> {
  const before = process.cpuUsage()
  let text = 'accepted'
  try {
    const inputs = await inputsOf(model, body, type)
    // As the handler does after a request is read.
    if (model.maxBatchSize > 0) checkRows(model.inputs, inputs, model.maxBatchSize)
  } catch (error) {
    assert.ok(error instanceof ServerError, String(error))
    text = `${error.statusCode}: ${error.message}`
  }
  const { user, system } = process.cpuUsage(before)
  return { text, ms: (user + system) / 1000 }
}

interface Case {
  readonly name: string
  readonly model: ModelMetadata
  /** The body with rows or fields of this number. */
  readonly body: (count: number) => string
  readonly count: number
  readonly type?: string
  readonly expected: RegExp
}

const manyFields = (count: number): string => '1,'.repeat(count)
const CASES: readonly Case[] = [
  {
    name: 'a first row with too many fields',
    model: people,
    body: manyFields,
    count: MILLION,
    expected: /^400: CSV row 1 has 1000001 values, but the model has 2 columns: "age", "city"\.$/,
  },
  {
    name: 'the same with a quoted field, which needs the parser',
    model: people,
    body: (count) => `"1",${manyFields(count)}`,
    count: MILLION,
    expected: /^400: CSV row 1 has 1000002 values, but the model has 2 columns: "age", "city"\.$/,
  },
  {
    name: 'only commas',
    model: numbers,
    body: (count) => `"",${','.repeat(count)}`,
    count: MILLION,
    expected: /^400: CSV row 1 has 1000002 values, but the model has 3 columns/,
  },
  {
    name: 'a header of a model without names of columns',
    model: numbers,
    body: (count) => `"a"${',b'.repeat(count)}\n1,2,3\n`,
    count: MILLION,
    expected: /^400: CSV row 1 has 1000001 values, but the model has 3 columns/,
  },
  {
    name: 'a header with unknown columns',
    model: people,
    body: (count) => `"age",city${',more'.repeat(count)}\n1,x\n`,
    count: MILLION,
    expected: /^400: Unknown column "more"; the model has 2 columns: "age", "city"\./,
  },
  {
    name: 'a later row with too many fields, also where extra columns are ignored',
    model: lenient,
    body: (count) => `age,city,"more"\n1,x,y\n${manyFields(count)}`,
    count: MILLION,
    expected: /^400: CSV row 2 has 1000001 fields, but the first row has 3\.$/,
  },
  {
    name: 'more rows than the model fixes',
    model: fixed,
    body: (count) => '"1",2,3\n'.repeat(count),
    count: ROWS,
    expected: /^400: Input "x": expected FP32 \[2,3\], got shape \[400000,3\]\.$/,
  },
  {
    name: 'the same with a header and other line ends',
    model: fixed,
    body: (count) => `a,b,c\r\n\r\n${'"1",2,3\r\n'.repeat(count)}`,
    count: ROWS,
    expected: /^400: Input "x": expected FP32 \[2,3\], got shape \[400000,3\]\.$/,
  },
  {
    name: 'more rows than a batch may have',
    model: limited,
    body: (count) => '"1",2,3\n'.repeat(count),
    count: ROWS,
    expected: /^400: The batch dimension of the request is 400000, but the maximum .* is 8\.$/,
  },
  {
    name: 'line ends in quotes are no rows',
    model: limited,
    body: (count) => `${'1,2,"3\n"\n'.repeat(count)}4,5,"6`,
    count: ROWS,
    expected: /^400: The batch dimension of the request is 400001, /,
  },
]

for (const { name, model, body, count, type, expected } of CASES) {
  test(`${name}: rejected in milliseconds, with the text of a small body`, async () => {
    const large = body(count)
    const { text } = await refusal(model, large, type)
    assert.match(text, expected)
    let fastest = Infinity
    for (let run = 0; run < 3 && fastest > MOST_CPU_MS; run++) {
      fastest = Math.min(fastest, (await refusal(model, large, type)).ms)
    }
    assert.ok(fastest < MOST_CPU_MS, `${fastest} ms`)
    const without = (one: string): string => one.replaceAll(/\d{2,}/g, 'n')
    const small = await refusal(model, body(20), type)
    if (!/quotes/.test(name)) assert.equal(without(small.text), without(text))
  })
}

test('quotes change nothing: the parser and the short way read the same cells', async () => {
  const random = randomNumbers(7)
  const pick = (values: readonly string[]): string =>
    values[random.integer(0, values.length - 1)] ?? ''
  const ends = ['\n', '\r\n', '\r', '\n\n', '\r\n\n', '\n\r']
  for (let round = 0; round < 200; round++) {
    const cells = Array.from({ length: random.integer(1, 6) }, () => [
      pick(['1', '2.5', '', ' 3', 'NaN', '1e3']),
      pick(['x', 'Zürich', ' y ', '', 'a;b', '\ufeff', '日本']),
    ])
    const end = pick(ends)
    const mark = pick(['', '\ufeff'])
    const write = (quote: (cell: string) => string): string =>
      mark + cells.map((row) => row.map(quote).join(',') + end).join('')
    const plain = write((cell) => cell)
    const quoted = write((cell) => `"${cell}"`)
    const outcome = async (body: string): Promise<unknown> => {
      const header = 'text/csv; header=absent'
      return inputsOf(people, body, header).catch((error: unknown) => String(error))
    }
    assert.deepEqual(await outcome(plain), await outcome(quoted), JSON.stringify(plain))
  }
})

test('the size of a file is exact', () => {
  const cases: [csv: string, rows: number, hasQuotes?: boolean][] = [
    ['', 0],
    ['a', 1],
    ['a\n', 1],
    ['a\nb', 2],
    ['\n\r\na\r\n\r\nb\r', 2],
    [',\n,\n', 2],
    ['"a\nb",c\n"d""\n",e', 2, true],
    ['""\n', 1, true],
    ['a\n"b\nc', 2, true],
  ]
  for (const [csv, rows, hasQuotes = false] of cases) {
    const size = sizeOfCsv(Buffer.from(csv), Infinity)
    assert.deepEqual(size, { rows, hasQuotes, wide: undefined }, JSON.stringify(csv))
  }
  const csv = Buffer.from(`a,b\n${'x,'.repeat(1500)}\n`)
  const { wide } = sizeOfCsv(csv, Infinity)
  assert.deepEqual([wide?.index, wide?.fields], [1, 1501])
  assert.equal(csv.subarray(4, wide?.end).toString(), 'x,'.repeat(1000).slice(0, -1))
})
