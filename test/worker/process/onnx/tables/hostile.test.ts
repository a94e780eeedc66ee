/** Tables that are broken or meant to cost time or memory. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { ServerError } from '../../../../../src/errors.ts'
import { npyFile } from '../../../../helpers/npy.ts'
import { TABLE_LIMITS, columnsModel, inputsOf, matrixModel } from '../../../../helpers/tables.ts'
import { zipOf } from '../../../../helpers/zip.ts'

const MILLION = 1_000_000
/** CPU milliseconds for one body of at most 2 MB. */
const MOST_MS = 20_000
const SMALL = { ...TABLE_LIMITS, maxResponseBytes: MILLION }
const model = columnsModel({ age: 'FP32', city: 'BYTES' })
const numbers = matrixModel('FP32', 3, { columns: ['a', 'b', '__proto__'] })

/** `status type: message` of a request that must fail. */
async function refusal(
  body: string | Buffer,
  type = 'text/csv',
  tested = model,
  limits = TABLE_LIMITS,
): Promise<string> {
  const before = process.cpuUsage()
  const text = await inputsOf(tested, body, type, limits).then(
    () => 'accepted',
    (error: unknown) => {
      assert.ok(error instanceof ServerError, String(error))
      return `${error.statusCode} ${error.message}`
    },
  )
  const { user, system } = process.cpuUsage(before)
  assert.ok((user + system) / 1000 < MOST_MS, `${text.slice(0, 100)}: ${user + system} µs`)
  return text
}

test('hostile CSV is rejected with 400 in bounded time', async () => {
  const cases: [body: string | Buffer, text: RegExp][] = [
    ['"'.repeat(MILLION), /^400 Unknown column ".*the model has 2 columns/],
    ['"'.repeat(MILLION + 1), /^400 The CSV is not valid in line 1: a quoted field has no/],
    ['"" '.repeat(MILLION / 4), /^400 The CSV is not valid in line 1: a quote is at a wrong place/],
    [
      `age,city\n1,"${'a,b\n'.repeat(MILLION / 8)}`,
      /^400 The CSV is not valid .* no closing quote/,
    ],
    ['1,'.repeat(MILLION), /^400 CSV row 1 has 1000001 values, but the model has 2 columns/],
    [
      `age,city\n${'1,'.repeat(MILLION / 8)}`,
      /^400 CSV row 1 has 125001 fields, but the first row/,
    ],
    ['\n'.repeat(MILLION), /^400 The table has no rows; the model has 2 columns: "age", "city"/],
    ['age,city\n1,x\n2\n', /^400 CSV row 2 has 1 field, but the first row has 2/],
    ['age,city\n1,x\n2,y,z\n', /^400 CSV row 2 has 3 fields/],
    [
      'age;city\n1;x\n',
      /^400 The fields of the CSV are separated by semicolons: separate them with commas/,
    ],
    ['age\tcity\n1\tx\n', /^400 The fields of the CSV are separated by tabs/],
    ['age,city\n1,a\0b\n', /^400 The CSV is not UTF-8 text/],
    [Buffer.from('age,city\n1,ä\n', 'utf16le'), /^400 The CSV is not UTF-8 text/],
    [Buffer.from('age,city\n1,ä\n', 'latin1'), /^400 The CSV is not UTF-8 text/],
    ['age,city\n1,"x"y\n', /^400 The CSV is not valid in line 2: a quote is at a wrong place/],
    ['', /^400 The CSV is empty/],
    ['age,city\n', /^400 The table has no rows/],
    ['age,age,city\n1,2,x\n', /^400 Column "age" occurs twice/],
    [`${'9'.repeat(MILLION)},x\n`, /^400 CSV row 1, column "age": "9+…" is out of range for FP32/],
  ]
  for (const [body, text] of cases) assert.match(await refusal(body), text)
})

test('a byte order mark, any line ends and empty lines are not errors', async () => {
  const expected = await inputsOf(model, 'age,city\n1,x\n2,y\n', 'text/csv')
  for (const text of ['\ufeffage,city\r\n1,x\r\n2,y', '\n\nage,city\r1,x\r\r2,y\r']) {
    assert.deepEqual(await inputsOf(model, text, 'text/csv'), expected)
  }
})

test('hostile JSON tables are rejected with 400 in bounded time', async () => {
  const many = Array.from({ length: MILLION / 4 }, (_, index) => `"k${index}":0`).join()
  const cases: [body: string, text: RegExp][] = [
    [`[{${many}}]`, /^400 Unknown column "k0"; the model has 2 columns/],
    [`{"columns":[${'"a",'.repeat(MILLION / 4)}"a"],"data":[]}`, /^400 Unknown column "a"/],
    [`{"columns":["age","city"],"data":[${'[],'.repeat(1000)}[]]}`, /^400 Record 1 has 0 values/],
    ['{"columns":["age","city"],"data":[[1,"x",2]]}', /^400 Record 1 has 3 values/],
    ['{"columns":["age",["city"]],"data":[]}', /^400 Malformed JSON at byte .*name of a column/],
    ['{"columns":["age","city"]}', /^400 The table has no "data"/],
    ['{"columns":["age","city"],"data":[]}', /^400 The table has no rows/],
    ['[{"age":1,"age":2,"city":"x"}]', /^400 Record 1 has the column "age" twice/],
    ['{"age":{"0":1,"1":2},"city":{"1":"x","0":"y"}}', /^400 Column "city" has the row "1" where/],
    ['{"age":[1,2],"city":["x"]}', /^400 Inputs "age" and "city" differ in dimension "N": 2 and 1/],
    [
      '{"age":{"0":1,"1":2},"city":{"0":"x"}}',
      /^400 All columns must have the same number of values/,
    ],
    ['[{"age":[1,2],"city":"x"}]', /^400 Record 1, column "age": the list has several values/],
    ['[{"age":{},"city":"x"}]', /^400 Record 1, column "age": "{" is not a single value/],
    ['[{"age":[[1]],"city":"x"}]', /^400 Record 1, column "age": "\[" is not a single value/],
    ['[{"age":1,"city":"x"}', /^400 Malformed JSON at byte/],
    ['[{"age":1,"city":"x"}]]', /^400 Malformed JSON at byte 22: expected the end of the body/],
  ]
  for (const [body, text] of cases) assert.match(await refusal(body, 'application/json'), text)
})

test('rows that leave columns out cannot become large tensors', async () => {
  const wide = matrixModel('FP32', 4096, {
    columns: Array.from({ length: 4096 }, (_, index) => `c${index}`),
  })
  const lines = '{"c0":1}\n'.repeat(5000)
  const text = await refusal(lines, 'application/x-ndjson', wide)
  assert.match(text, /^413 The table has more than 16777216 cells/)
})

test('names of prototypes are ordinary names of columns', async () => {
  const [csv] = await inputsOf(numbers, '__proto__,b,a\n1,2,3\n', 'text/csv')
  assert.deepEqual([...(csv?.data ?? [])], [3, 2, 1])
  const records = '[{"__proto__":1,"b":2,"a":3}]'
  assert.deepEqual(await inputsOf(numbers, records, 'application/json'), [csv])
  for (const name of ['constructor', 'toString', '__proto__x', 'hasOwnProperty']) {
    const body = `[{"a":1,"b":2,"__proto__":3,"${name}":4}]`
    assert.match(
      await refusal(body, 'application/json', numbers),
      new RegExp(`^400 Unknown column "${name}"`),
    )
  }
})

test('archives of arrays: other files, damage and bombs are rejected', async () => {
  const array = npyFile({ descr: '<f4', shape: [1, 3], data: Buffer.alloc(12) })
  const bomb = npyFile({ descr: '<f4', shape: [MILLION], data: Buffer.alloc(4 * MILLION) })
  const first = { name: 'x.npy', data: array }
  const sound = zipOf([first])
  const cases: [body: Buffer, text: RegExp][] = [
    [
      zipOf([first, { name: 'readme.txt', data: 'x' }]),
      /^415 The body is a ZIP archive that is not/,
    ],
    [zipOf([first, { name: 'y.npy', data: array }]), /^400 Unknown input "y"/],
    [zipOf([{ name: 'x.npy', data: 'text' }]), /^400 The .npz file cannot be read: "x.npy" is not/],
    [sound.subarray(0, -10), /^400 The .npz file cannot be read: it is damaged/],
    [zipOf([{ ...first, bytes: 4 }]), /^400 The .npz file cannot be read: it is damaged/],
    [zipOf([{ name: 'x.npy', data: bomb }]), /^413 The arrays of the .npz file are larger than/],
    [zipOf([first, first]), /^400 The .npz file cannot be read: it has the array "x" twice/],
  ]
  for (const [body, text] of cases) {
    assert.match(await refusal(body, '', matrixModel('FP32', 3), SMALL), text)
  }
  assert.match(
    await refusal(zipOf([{ name: 'a.txt', data: 'x'.repeat(20) }]), '', matrixModel('FP32', 3)),
    /^415 .*ZIP archive/,
  )
})
