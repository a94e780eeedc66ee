/** Tables as request bodies: headers, values, missing cells, extra columns, error texts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../../src/worker/process/handler.ts'
import type { WireHeader } from '../../../../../src/worker/wire/messages.ts'
import { identityGraph, writeModelFolder } from '../../../../helpers/onnx-builder.ts'
import type { Dimension, ModelSource } from '../../../../helpers/onnx-builder.ts'
import {
  ask,
  bodyRequest,
  loadModel,
  parameter,
  predict,
  problem,
} from '../../../../helpers/onnx-model.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'
import { columnsGraph } from '../../../../helpers/tables.ts'

const CSV = 'text/csv'
const V1: WireHeader = [DIALECT_HEADER, 'v1']

function load(t: TestContext, source: ModelSource, settings = {}): Promise<LoadedModel> {
  const files = { 'model.json': JSON.stringify(settings) }
  return loadModel(t, writeModelFolder(temporaryFolder(t), 'm', source, files))
}

function matrix(t: TestContext, shape: readonly Dimension[], settings = {}): Promise<LoadedModel> {
  return load(t, identityGraph({ type: 'FP32', shape }), settings)
}

/** The output of a model with one output, for a body. */
async function output(model: LoadedModel, body: unknown, type?: string): Promise<unknown> {
  const [status, answer] = await ask(model, bodyRequest(body, type))
  assert.equal(status, 200, JSON.stringify(answer))
  return (answer as { y: unknown }).y
}

test('CSV: the header selects inputs, and rows without one are in their order', async (t) => {
  const model = await load(t, columnsGraph({ age: 'FP32', count: 'INT64', city: 'BYTES' }))
  const expected = {
    age_out: [[1.5], [null]],
    count_out: [[2], [3]],
    city_out: [['Bern, "CH"'], ['[x']],
  }
  const bodies = [
    'age,count,city\n1.5,2,"Bern, ""CH"""\n,3,[x\n',
    'city,age,count\r\n"Bern, ""CH""",1.5,2\r\n[x,NaN,3.0\r\n',
    '1.5,2,"Bern, ""CH"""\n,3,[x',
    // The index of pandas has no name.
    ',city,age,count\n7,"Bern, ""CH""", 1.5 ,2\n8,[x,NA,3e0\n',
  ]
  for (const body of bodies) {
    assert.deepEqual(await ask(model, bodyRequest(body, CSV)), [200, expected], body)
    const [status, answer] = await ask(model, bodyRequest(body, CSV, [V1]))
    assert.equal(status, 200)
    assert.deepEqual((answer as { predictions: unknown[] }).predictions.length, 2)
    // A file of a form, under any name.
    const form = { parameters: [parameter('table', body, CSV)] }
    assert.deepEqual(await ask(model, form), [200, expected])
  }
})

test('a table without a declared type is known by its first line', async (t) => {
  const model = await load(t, columnsGraph({ age: 'FP32', city: 'BYTES' }))
  const expected = { age_out: [[1.5], [null]], city_out: [['x'], ['y']] }
  const csv = 'city,age\r\nx,1.5\r\ny,\r\n'
  const lines = '{"age":1.5,"city":"x"}\n{"age":null,"city":"y"}\n'
  for (const body of [csv, `\ufeff,"city",age\n0,x,1.5\n1,y,\n`, lines]) {
    for (const type of ['', 'application/octet-stream']) {
      assert.deepEqual(await ask(model, bodyRequest(body, type)), [200, expected], body)
      const form = { parameters: [parameter('file', body, type || 'application/octet-stream')] }
      assert.deepEqual(await ask(model, form), [200, expected], body)
    }
  }
  const one = await matrix(t, ['N', 3], { columns: ['a', 'b', 'c'] })
  assert.deepEqual(await output(one, 'c,b,a\n3,2,1\n', ''), [[1, 2, 3]])
  // These twelve bytes are three numbers, although a line with one column can be found in them.
  const numbers = await output(one, Buffer.from('a,x\ny,zz1234'), '')
  assert.equal((numbers as number[][])[0]?.length, 3)
  // Records on several lines are no JSON lines.
  assert.deepEqual(await output(one, '[{"a":1,"b":2,"c":3}\n,\n{"a":1}]', ''), [
    [1, 2, 3],
    [1, null, null],
  ])
})

test('columns keep the names of the DataFrame that skl2onnx replaces', async (t) => {
  const graph = columnsGraph({ fare_price: 'FP32', petal_length__cm_: 'FP32', _1st: 'FP32' })
  const model = await load(t, graph)
  const expected = { fare_price_out: [[1]], petal_length__cm__out: [[2]], _1st_out: [[3]] }
  const record = { '1st': 3, 'petal length (cm)': 2, 'fare price': 1 }
  const bodies: [unknown, string?][] = [
    ['1st,petal length (cm),fare price\n3,2,1\n', CSV],
    ['1st,petal length (cm),fare price\n3,2,1\n', ''],
    [[record]],
    [{ instances: [record] }],
    [{ columns: Object.keys(record), data: [[3, 2, 1]] }],
    [{ 'fare price': { 0: 1 }, 'petal length (cm)': { 0: 2 }, '1st': { 0: 3 } }],
    [{ fare_price: [1], 'petal length (cm)': [2], _1st: [3] }],
    [{ 'fare price': [1], 'petal length (cm)': [2], '1st': [3] }],
  ]
  for (const [body, type] of bodies) {
    const found = await ask(model, bodyRequest(body, type))
    assert.deepEqual(found, [200, expected], JSON.stringify(body))
  }
  assert.match(
    await problem(model, bodyRequest('fare price,fare_price,1st\n1,2,3\n', CSV)),
    /^400 InvalidInputException Column "fare_price" occurs twice/,
  )
  assert.match(
    await problem(model, bodyRequest([{ ...record, fare_price: 1 }])),
    /^400 InvalidInputException Record 1 has the column "fare_price" twice/,
  )
  // Names in "columns" are those of the DataFrame.
  const one = await matrix(t, ['N', 2], { columns: ['a_b', 'c'] })
  assert.match(await problem(one, bodyRequest([{ 'a b': 1, c: 2 }])), /Unknown column "a b"/)
})

test('CSV: the parameter header of the content type decides', async (t) => {
  const texts = await load(t, columnsGraph({ a: 'BYTES', b: 'BYTES' }))
  const typed = (header: string): WireHeader[] => [['Content-Type', `text/csv; header=${header}`]]
  const twoRows = await ask(texts, bodyRequest('x,y\na,b\n', CSV))
  assert.deepEqual(twoRows, [200, { a_out: [['x'], ['a']], b_out: [['y'], ['b']] }])
  const absent = await ask(texts, bodyRequest('a,b\nx,y\n', CSV, typed('absent')))
  assert.deepEqual(absent, [200, { a_out: [['a'], ['x']], b_out: [['b'], ['y']] }])
  const present = await problem(texts, bodyRequest('x,y\na,b\n', CSV, typed('present')))
  assert.match(present, /^400 InvalidInputException Unknown column "x"; the model has 2 columns/)
  // Without names of columns, a header of numbers is only known as such by the parameter.
  const bare = await matrix(t, ['N', 2])
  assert.deepEqual(await output(bare, '0,1\n5,6\n', CSV), [
    [0, 1],
    [5, 6],
  ])
  const [, named] = await ask(bare, bodyRequest('0,1\n5,6\n', CSV, typed('present')))
  assert.deepEqual(named, { y: [[5, 6]] })
})

test('columns of model.json name the columns of one input', async (t) => {
  const model = await matrix(t, ['N', 3], { columns: ['age', 'income', 'score'] })
  const rows = [
    [1, 2, 3],
    [4, null, 6],
  ]
  const records = [
    { score: 3, income: 2, age: 1 },
    { age: 4, score: 6 },
  ]
  const bodies: [unknown, string?][] = [
    ['score,age,income\n3,1,2\n6,4,\n', CSV],
    ['1,2,3\n4,,6\n', CSV],
    [records],
    [{ instances: records }],
    [records.map((record) => JSON.stringify(record)).join('\n'), 'application/jsonl'],
    ['[1,2,3]\n\n[4,null,6]\n', 'application/jsonlines'],
    [{ x: rows }],
    [rows],
    [{ instances: rows }],
    [
      {
        columns: ['score', 'age', 'income'],
        data: [
          [3, 1, 2],
          [6, 4, null],
        ],
      },
    ],
    [{ data: rows }],
    [{ age: [1, 4], income: [2, null], score: [3, 6] }],
    [{ age: { 0: 1, 1: 4 }, income: { 0: 2, 1: null }, score: { 0: 3, 1: 6 } }],
  ]
  for (const [body, type] of bodies) {
    assert.deepEqual(await output(model, body, type), rows, JSON.stringify(body))
  }
  assert.deepEqual(await output(model, { age: 1, income: 2, score: 3 }), [[1, 2, 3]])
  assert.deepEqual(await ask(model, bodyRequest({ instances: records }, '', [V1])), [
    200,
    { predictions: rows },
  ])
  const { body } = await predict(model, { parameters: [], headers: [['describe', 'True']] })
  assert.deepEqual(JSON.parse(body.toString()).columns, ['age', 'income', 'score'])
})

test('columns that do not fit the model are refused when it is loaded', async (t) => {
  const graph = columnsGraph({ a: 'FP32', b: 'FP32' })
  const refused: [ModelSource, object, RegExp][] = [
    [graph, { columns: ['a', 'b'] }, /"columns" in model.json needs a model with one input; this/],
    [
      identityGraph({ type: 'FP32', shape: ['N', 3] }),
      { columns: ['a', 'b'] },
      /"columns" in model.json has 2 names, but the input "x" is FP32 \[-1,3\]/,
    ],
    [identityGraph({ type: 'FP32', shape: ['N', 3] }), { columns: ['a', 'a', 'b'] }, /columns/],
    [graph, { extraColumns: 'drop' }, /extraColumns/],
  ]
  for (const [source, settings, pattern] of refused) {
    await assert.rejects(load(t, source, settings), pattern)
  }
})

test('values: whole floats, booleans and missing cells, and errors that name column and row', async (t) => {
  const model = await load(
    t,
    columnsGraph({ f: 'FP64', i: 'INT8', u: 'UINT64', b: 'BOOL', s: 'BYTES' }),
  )
  const cells = { f: 1, i: 2, u: 3, b: true, s: 'x' }
  const good: [object, unknown[]][] = [
    [{ f: null }, [null, 2, 3, true, 'x']],
    [{ f: true, i: true, u: false, b: 0 }, [1, 1, 0, false, 'x']],
    [{ i: -128.0, u: 18446744073709551615n }, [1, -128, 18446744073709551615n, true, 'x']],
    [{ s: '["' }, [1, 2, 3, true, '["']],
  ]
  const body = (row: object): string =>
    JSON.stringify([{ ...cells, ...row }], (_, value: unknown) =>
      typeof value === 'bigint' ? `@${value}@` : value,
    ).replaceAll(/"@|@"/g, '')
  for (const [row, [f, i, u, b, s]] of good) {
    const { status, body: answer } = await predict(model, bodyRequest(body(row)))
    assert.equal(status, 200, answer.toString())
    const texts = [f, i, u, b, JSON.stringify(s)].map(String)
    const found = /_out":\[\[(.*?)\]\][,}]/g
    assert.deepEqual(
      [...answer.toString().matchAll(found)].map(([, text]) => text),
      texts,
    )
  }
  const wrong: [object, RegExp][] = [
    [{ i: 1.5 }, /Record 1, column "i": "1.5" is not a whole number \(INT8\)\.$/],
    [{ i: 128 }, /Record 1, column "i": "128" is out of range \(INT8\)\.$/],
    [{ u: -1 }, /column "u": "-1" is out of range \(UINT64\)/],
    [{ i: null }, /column "i": the value is missing, and only float columns may have missing/],
    [{ s: null }, /column "s": the value is missing.*\(BYTES\)/],
    [{ s: 5 }, /column "s": "5" is not a text; send it in double quotes/],
    [{ f: 'high' }, /column "f": "high" is not a number \(FP64\)/],
    [{ b: 2 }, /column "b": "2" is not true, false, 1 or 0/],
    [{ F: 2 }, /Unknown column "F"; the model has 5 columns: .* Did you mean "f"\? To drop/],
  ]
  for (const [row, pattern] of wrong)
    assert.match(await problem(model, bodyRequest(body(row))), pattern)
  const csv: [string, RegExp][] = [
    ['1,2,3,1,x\n1,,3,1,x\n', /CSV row 2, column "i": the value is missing/],
    ['1,2,3,1,x\n1,2,3,1,\n', /CSV row 2, column "s": the value is missing/],
    ['1,2,3,1,x\n1,2,3,maybe,x\n', /CSV row 2, column "b": "maybe" is not true, false, 1 or 0/],
    ['f,i,u,b\n1,2,3,1\n', /Missing column "s"; the model has 5 columns/],
  ]
  for (const [text, pattern] of csv)
    assert.match(await problem(model, bodyRequest(text, CSV)), pattern)
})

test('extra columns are ignored if model.json says so, and a header names them', async (t) => {
  const graph = columnsGraph({ a: 'FP32', b: 'INT64' })
  const model = await load(t, graph, { extraColumns: 'ignore' })
  const bodies: [unknown, string?][] = [
    ['id,a,b,größe\nx,1,2,3\n', CSV],
    [[{ id: 7, a: 1, größe: [1, { c: 2 }], b: 2 }]],
    [{ a: [1], id: ['x'], b: [2], größe: [null] }],
    [{ columns: ['id', 'größe', 'a', 'b'], data: [['x', null, 1, 2]] }],
  ]
  for (const [body, type] of bodies) {
    const answer = await predict(model, bodyRequest(body, type))
    assert.equal(answer.body.toString(), '{"a_out":[[1]],"b_out":[[2]]}\n')
    assert.deepEqual(answer.headers, [['Onnxd-Ignored-Columns', 'id, gr%C3%B6%C3%9Fe']])
  }
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, 0]))
  const { headers } = await predict(model, bodyRequest([{ ...many, a: 1, b: 2 }]))
  assert.match(headers[0]?.[1] ?? '', /^k0, k1, .*, k19, \.\.\.$/)
  assert.deepEqual((await predict(model, bodyRequest([{ a: 1, b: 2 }]))).headers, [])
})

test('models whose inputs are not columns take instances, and say so for CSV', async (t) => {
  const images = await matrix(t, ['N', 'C', 2])
  const rows = [[[1, null]], [[3, 4]]]
  assert.deepEqual(
    await output(
      images,
      rows.map((x) => ({ x })),
    ),
    rows,
  )
  assert.deepEqual(await output(images, { instances: rows }), rows)
  const lines = rows.map((x) => JSON.stringify({ x })).join('\n')
  assert.deepEqual(await output(images, lines, 'application/x-ndjson'), rows)
  assert.match(
    await problem(images, bodyRequest('1,2\n', CSV)),
    /^415 .*The model does not take tables, because its inputs are not columns/,
  )
  // With fixed sizes, a row has the elements of one sample.
  const fixed = await matrix(t, ['N', 2, 2])
  assert.deepEqual(await output(fixed, '1,2,3,4\n', CSV), [
    [
      [1, 2],
      [3, 4],
    ],
  ])
  const open = await matrix(t, ['N', 'F'])
  assert.deepEqual(await output(open, 'a,b\n1,2\n3,4\n', CSV), [
    [1, 2],
    [3, 4],
  ])
  assert.deepEqual(await output(open, [{ x: [1, 2] }]), [[1, 2]])
  assert.match(await problem(open, bodyRequest('1,2\n3\n', CSV)), /CSV row 2 has 1 field/)
})

test('inputs with the names of table members stay inputs', async (t) => {
  for (const name of ['data', 'columns', 'instances', 'schema']) {
    const source = identityGraph({ type: 'FP32', shape: ['N', 2] })
    const renamed = JSON.parse(JSON.stringify(source).replaceAll('"x"', JSON.stringify(name)))
    const model = await load(t, renamed as ModelSource)
    assert.deepEqual(await output(model, { [name]: [[1, 2]] }), [[1, 2]], name)
  }
})
