/** One table gives the same tensors in every format. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Datatype } from '../../../../../src/contract/datatypes.ts'
import { npyFile } from '../../../../helpers/npy.ts'
import { columnsModel, inputsOf, matrixModel } from '../../../../helpers/tables.ts'
import { zipOf } from '../../../../helpers/zip.ts'

type Cell = number | string | boolean | null
type Row = readonly Cell[]

const COLUMNS = {
  f: 'FP32',
  d: 'FP64',
  i: 'INT64',
  b: 'BOOL',
  s: 'BYTES',
  __proto__x: 'INT32',
} as const
const NAMES = Object.keys(COLUMNS)
const RUNS = { numRuns: 30 }

const row = fc.tuple(
  fc.option(fc.float({ noNaN: true, noDefaultInfinity: true })),
  fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
  fc.maxSafeInteger(),
  fc.boolean(),
  // An empty cell of CSV would be a missing value.
  fc.string({ unit: 'grapheme', minLength: 1 }),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
)
const rows = fc.array(row, { minLength: 1, maxLength: 6 })

function csvOf(table: readonly Row[]): string {
  const lines = [NAMES, ...table].map((cells) => cells.map(csvCell).join(','))
  return `${lines.join('\r\n')}\r\n`
}

function csvCell(cell: Cell): string {
  if (cell === null) return ''
  const text = Object.is(cell, -0) ? '-0' : String(cell)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** JSON.stringify writes -0 as 0. */
function json(value: unknown): string {
  const marked = JSON.stringify(value, (_, each: unknown) => (Object.is(each, -0) ? '-0.0!' : each))
  return marked.replaceAll('"-0.0!"', '-0.0')
}

function recordOf(cells: Row): Record<string, Cell> {
  return Object.fromEntries(NAMES.map((name, index) => [name, cells[index] ?? null]))
}

/** The table in every text format, with its content type. */
function texts(table: readonly Row[]): (readonly [name: string, body: string, type: string])[] {
  const records = table.map(recordOf)
  const index = table.map((_, at) => at)
  const lists = Object.fromEntries(NAMES.map((name, at) => [name, table.map((cells) => cells[at])]))
  const byRow = Object.fromEntries(
    Object.entries(lists).map(([name, cells]) => [name, Object.fromEntries(cells.entries())]),
  )
  const split = { columns: NAMES, index, data: table }
  const bodies = {
    records,
    list: lists,
    columns: byRow,
    split,
    values: table,
    table: {
      schema: { fields: [], primaryKey: ['index'], pandas_version: '1.4.0' },
      data: records.map((record, at) => ({ index: at, ...record })),
    },
    instances: { instances: records },
    dataframe_split: { dataframe_split: { data: table, columns: NAMES } },
    dataframe_records: { dataframe_records: records },
  }
  return [
    ['csv', csvOf(table), 'text/csv'],
    ['lines', records.map((record) => json(record)).join('\n'), 'application/x-ndjson'],
    ...Object.entries(bodies).map(
      ([name, body]) => [name, json(body), 'application/json'] as const,
    ),
  ]
}

test('text formats: each gives the same tensors', async () => {
  const model = columnsModel(COLUMNS)
  const property = fc.asyncProperty(rows, async (table) => {
    const expected = table.length
    const [, firstBody, firstType] = texts(table)[0] ?? ['', '', '']
    const first = await inputsOf(model, firstBody, firstType)
    assert.deepEqual(
      first.map(({ shape }) => shape),
      NAMES.map(() => [expected, 1]),
    )
    const wide = table.map(([f]) => (f === null ? Number.NaN : Math.fround(f)))
    assert.deepEqual(first[0]?.data, Float32Array.from(wide))
    const doubles = table.map(([, d]) => d ?? Number.NaN)
    assert.deepEqual(first[1]?.data, Float64Array.from(doubles))
    assert.deepEqual(
      first[4]?.data,
      table.map(([, , , , s]) => s),
    )
    for (const [name, body, type] of texts(table)) {
      assert.deepEqual(await inputsOf(model, body, type), first, name)
    }
  })
  await fc.assert(property, RUNS)
})

test('NumPy: an array and an archive give the tensors of CSV', async () => {
  const cell = fc.option(fc.float({ noNaN: true, noDefaultInfinity: true }))
  const property = fc.asyncProperty(
    fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 8 }),
    async (table) => {
      const csv = table.map((cells) => cells.map(csvCell).join(',')).join('\n')
      const flat = Float32Array.from(table.flat(), (one) => one ?? Number.NaN)
      const npy = arrayFile(flat, [table.length, 3])
      const model = matrixModel('FP32', 3)
      const expected = await inputsOf(model, csv, 'text/csv')
      assert.deepEqual(expected, await inputsOf(model, npy, 'application/x-npy'))
      const npz = zipOf([{ name: 'arr_0.npy', data: npy }])
      for (const type of ['', 'application/octet-stream', 'application/x-npz']) {
        assert.deepEqual(await inputsOf(model, npz, type), expected, type)
      }

      const columns: Record<string, Datatype> = { a: 'FP32', b: 'FP32', c: 'FP32' }
      const byColumn = zipOf(
        Object.keys(columns).map((name, at) => ({
          name: `${name}.npy`,
          isStored: at > 0,
          data: arrayFile(
            flat.filter((_, index) => index % 3 === at),
            [table.length],
          ),
        })),
      )
      const named = matrixModel('FP32', 3, { columns: Object.keys(columns) })
      assert.deepEqual(await inputsOf(named, byColumn, ''), expected)
      const several = columnsModel(columns)
      assert.deepEqual(
        await inputsOf(several, byColumn, ''),
        await inputsOf(several, `c,b,a\n${reversed(table)}`, 'text/csv'),
      )
    },
  )
  await fc.assert(property, RUNS)
})

function reversed(table: readonly Row[]): string {
  return table.map((cells) => cells.toReversed().map(csvCell).join(',')).join('\n')
}

function arrayFile(values: Float32Array, shape: readonly number[]): Buffer {
  return npyFile({
    descr: '<f4',
    shape,
    data: Buffer.from(Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
  })
}
