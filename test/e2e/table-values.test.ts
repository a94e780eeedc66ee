/** The values and columns of a table, in every REST dialect. */
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { columnsGraph } from '../helpers/tables.ts'

const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(async () => {
  for (const run of cleanups) await run()
})
const folder = temporaryFolder(cleanup)
const GRAPH = columnsGraph({ age: 'FP32', visits: 'INT64', city: 'BYTES' })
const ignore = { 'model.json': JSON.stringify({ extraColumns: 'ignore' }) }
const named = { 'model.json': JSON.stringify({ extraColumns: 'ignore', columns: ['a', 'b'] }) }
const MODELS = [
  writeModelFolder(folder, 'strict', GRAPH),
  writeModelFolder(folder, 'ignoring', GRAPH, ignore),
  writeModelFolder(folder, 'named', identityGraph({ type: 'FP32', shape: ['N', 2] }), named),
]

/** The cells of one row, as JSON. */
type Row = Readonly<Record<string, string>>
interface Dialect {
  readonly route: (model: string) => string
  readonly type: string
  readonly body: (row: Row) => string
}

const JSON_TYPE = 'application/json'
const members = (row: Row, cell: (text: string) => string): string =>
  Object.entries(row)
    .map(([name, text]) => `${JSON.stringify(name)}:${cell(text)}`)
    .join()
const record = (row: Row): string => `{${members(row, (text) => text)}}`
const csvField = (text: string): string => {
  const value: unknown = JSON.parse(text)
  return typeof value === 'string' ? `"${value.replaceAll('"', '""')}"` : text
}
const csv = (row: Row): string =>
  `${Object.keys(row).join()}\n${Object.values(row).map(csvField).join()}\n`
const predictions = (model: string): string => `/predictions/${model}`
const invocations = (model: string): string => `/invocations?model_name=${model}`
const v1 = (model: string): string => `/v1/models/${model}:predict`
const TYPES: Readonly<Record<string, string>> = { age: 'FP32', visits: 'INT64', city: 'BYTES' }

/** The dialects that take tables. */
const TABLES: Readonly<Record<string, Dialect>> = {
  records: { route: predictions, type: JSON_TYPE, body: (row) => `[${record(row)}]` },
  lists: {
    route: predictions,
    type: JSON_TYPE,
    body: (row) => `{${members(row, (text) => `[${text}]`)}}`,
  },
  csv: { route: predictions, type: 'text/csv', body: csv },
  'invocations csv': { route: invocations, type: 'text/csv', body: csv },
  'invocations lines': { route: invocations, type: 'application/jsonlines', body: record },
  'v1 instances': { route: v1, type: JSON_TYPE, body: (row) => `{"instances":[${record(row)}]}` },
  'v1 csv': { route: v1, type: 'text/csv', body: csv },
}
const V2: Dialect = {
  route: (model) => `/v2/models/${model}/infer`,
  type: JSON_TYPE,
  body: (row) => {
    const inputs = Object.entries(row).map(
      ([name, text]) =>
        `{"name":"${name}","datatype":"${TYPES[name] ?? 'FP32'}","shape":[1,1],"data":[${text}]}`,
    )
    return `{"inputs":[${inputs.join()}]}`
  },
}

async function send({ route, type, body }: Dialect, model: string, row: Row) {
  const server = await sharedServer(MODELS)
  const answer = await server.fetch(route(model), {
    method: 'POST',
    body: body(row),
    headers: { 'content-type': type },
  })
  return {
    status: answer.status,
    text: await answer.text(),
    ignored: answer.headers.get('onnxd-ignored-columns'),
  }
}

/**
 * The model for a dialect: an object of columns is JSON keyed by input name, with strict values,
 * unless the model ignores extra columns.
 */
function modelFor(dialect: string): string {
  return dialect === 'lists' ? 'ignoring' : 'strict'
}

/** The elements of the outputs, whatever their form. */
function cellsOf(text: string): unknown[] {
  const answer = JSON.parse(text) as Record<string, unknown>
  if (Array.isArray(answer['outputs'])) {
    return (answer['outputs'] as { data: unknown }[]).map(({ data }) => data).flat(9)
  }
  const [row] = (answer['predictions'] ?? [answer]) as Record<string, unknown>[]
  return Object.values(row ?? {}).flat(9)
}

test('missing floats are NaN, and whole floats are integers, in every dialect', async () => {
  const row = { age: 'null', visits: '-3.0', city: '"x"' }
  for (const [name, dialect] of Object.entries(TABLES)) {
    // CSV has no null: the word is one of the missing values of pandas.
    const { status, text } = await send(dialect, modelFor(name), row)
    assert.equal(status, 200, `${name}: ${text}`)
    assert.deepEqual(cellsOf(text), [null, -3, 'x'], name)
    const half = await send(dialect, 'strict', { ...row, visits: '1.5' })
    assert.equal(half.status, 400, name)
    assert.match(half.text, /1\.5/, name)
  }
  for (const dialect of [TABLES['lists'] ?? V2, V2]) {
    for (const visits of ['-3', '-3.0']) {
      const { status, text } = await send(dialect, 'strict', { ...row, visits })
      assert.equal(status, 200, text)
      assert.deepEqual(cellsOf(text), [null, -3, 'x'])
    }
    const point = await send(dialect, 'strict', { ...row, visits: '-3.5' })
    assert.equal(point.status, 400)
    assert.match(point.text, /-3\.5 is not an integer/)
  }
})

test('Booleans are numbers in tables; /v2 says which element is none', async () => {
  const row = { age: 'true', visits: 'false', city: '"x"' }
  for (const [name, dialect] of Object.entries(TABLES)) {
    const { status, text } = await send(dialect, modelFor(name), row)
    assert.equal(status, 200, `${name}: ${text}`)
    assert.deepEqual(cellsOf(text), [1, 0, 'x'], name)
  }
  const { status, text } = await send(V2, 'strict', row)
  assert.equal(status, 400)
  assert.match(text, /Input \\"age\\", element 0: true is not a number/)
})

test('texts that begin with a quote or a bracket stay as they are', async () => {
  for (const city of ['"quoted"', '[1,2]', '{"a":1}', "'x", '["', '[', '"']) {
    for (const [name, dialect] of Object.entries({ ...TABLES, V2 })) {
      const row = { age: '1', visits: '2', city: JSON.stringify(city) }
      const { status, text } = await send(dialect, 'strict', row)
      assert.equal(status, 200, `${name}: ${text}`)
      assert.deepEqual(cellsOf(text), [1, 2, city], name)
    }
  }
})

test('extra columns are an error, or are ignored and named in a header', async () => {
  const row = { age: '1', zip: '3000', visits: '2', city: '"x"' }
  for (const [name, dialect] of Object.entries(TABLES)) {
    const strict = await send(dialect, 'strict', row)
    assert.equal(strict.status, 400, name)
    assert.match(strict.text, /Unknown (?:column|input) \\"zip\\"/, name)
    const { status, text, ignored } = await send(dialect, 'ignoring', row)
    assert.deepEqual([status, ignored], [200, 'zip'], `${name}: ${text}`)
    assert.deepEqual(cellsOf(text), [1, 2, 'x'], name)
    const one = await send(dialect, 'named', { b: '2', c: '0', a: 'true' })
    assert.deepEqual([one.status, one.ignored], [200, 'c'], `${name}: ${one.text}`)
    assert.match(one.text, /\[1,2\]/, name)
  }
  const { status, text } = await send(V2, 'ignoring', row)
  assert.equal(status, 400)
  assert.match(text, /Unknown input \\"zip\\"/)
})
