/** Tables over HTTP: every route that takes them, files of curl, the OpenAPI document. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { npyFile } from '../helpers/npy.ts'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import { PARQUET, parquetFile } from '../helpers/parquet.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { columnsGraph } from '../helpers/tables.ts'
import { zipOf } from '../helpers/zip.ts'

const cleanups: (() => unknown)[] = []
const file: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(async () => {
  for (const run of cleanups) await run()
})
const folder = temporaryFolder(file)
const people = writeModelFolder(
  folder,
  'people',
  columnsGraph({ age: 'FP32', visits: 'INT64', city: 'BYTES' }),
  { 'model.json': JSON.stringify({ extraColumns: 'ignore' }) },
)
const flowers = writeModelFolder(
  folder,
  'flowers',
  identityGraph({ type: 'FP32', shape: ['N', 2] }),
  {
    'model.json': JSON.stringify({ columns: ['length', 'width'] }),
  },
)
const serve = (): Promise<TestServer> =>
  sharedServer([people, flowers], { threads: 1, maxJsonBytes: 100_000 })

const CSV = { 'content-type': 'text/csv' }

async function post(
  server: TestServer,
  route: string,
  body: string | Buffer,
  headers: object = CSV,
) {
  const answer = await server.fetch(route, {
    method: 'POST',
    body: new Uint8Array(Buffer.from(body)),
    headers: { ...headers },
  })
  return [answer.status, await answer.text(), answer.headers] as const
}

test('CSV is taken by /predictions, /invocations and /v1, and ignored columns are named', async () => {
  const server = await serve()
  const body = 'id,age,visits,city\n7,1.5,2,"Bern"\n8,,3.0,[x\n'
  const plain = '{"age_out":[[1.5],[null]],"visits_out":[[2],[3]],"city_out":[["Bern"],["[x"]]}\n'
  const routes = ['/predictions/people', '/invocations?model_name=people', '/models/people/invoke']
  for (const route of routes) {
    const [status, text, headers] = await post(server, route, body)
    assert.deepEqual([status, text], [200, plain], route)
    assert.equal(headers.get('onnxd-ignored-columns'), 'id')
  }
  const [, v1, headers] = await post(server, '/v1/models/people:predict', body)
  assert.deepEqual(JSON.parse(v1), {
    predictions: [
      { age_out: [1.5], visits_out: [2], city_out: ['Bern'] },
      { age_out: [null], visits_out: [3], city_out: ['[x'] },
    ],
  })
  assert.equal(headers.get('onnxd-ignored-columns'), 'id')
  const packed = gzipSync(body)
  const coded = await post(server, '/predictions/people', packed, {
    ...CSV,
    'content-encoding': 'gzip',
  })
  assert.deepEqual(coded.slice(0, 2), [200, plain])
})

test('responses are CSV, lines and NumPy arrays by Accept, and header=present reaches the worker', async () => {
  const server = await serve()
  const typed = { 'content-type': 'text/csv; header=present', accept: 'text/csv' }
  const [status, text, headers] = await post(
    server,
    '/predictions/flowers',
    'width,length\n2,1\n',
    typed,
  )
  assert.deepEqual([status, text], [200, '1,2\n'])
  assert.equal(headers.get('content-type'), 'text/csv; charset=utf-8; header=absent')
  const lines = await post(server, '/v1/models/flowers:predict', '{"length":1,"width":null}\n', {
    'content-type': 'application/jsonlines',
    accept: 'application/jsonlines',
  })
  assert.deepEqual(lines.slice(0, 2), [200, '{"y":[1,null]}\n'])
})

test('curl -T sends arrays and archives without a content type', async () => {
  const server = await serve()
  const array = npyFile({
    descr: '<f4',
    shape: [1, 2],
    data: Buffer.from(Float32Array.of(1, 2).buffer),
  })
  const name = path.join(folder, 'x')
  writeFileSync(`${name}.npy`, array)
  writeFileSync(`${name}.npz`, zipOf([{ name: 'arr_0.npy', data: array, isStored: true }]))
  for (const route of ['/predictions/flowers', '/invocations?model_name=flowers']) {
    for (const ending of ['npy', 'npz']) {
      const url = server.inferenceUrl + route
      const text = execFileSync('curl', ['-sS', '-T', `${name}.${ending}`, url]).toString()
      assert.equal(text, '{"y":[[1,2]]}\n', ending)
    }
  }
  const [, v1] = await post(server, '/v1/models/flowers:predict', array, {
    'content-type': 'application/x-npy',
  })
  assert.deepEqual(JSON.parse(v1), { predictions: [[1, 2]] })
})

test('Parquet files are taken by every route, by curl -T and in forms', async () => {
  const server = await serve()
  const body = parquetFile({
    columns: [
      {
        name: 'city',
        type: PARQUET.BYTE_ARRAY,
        converted: 0,
        values: ['Bern', '[x'].map(Buffer.from),
      },
      { name: 'id', type: PARQUET.INT64, converted: 10, values: [7n, 8n] },
      { name: 'visits', type: PARQUET.INT64, values: [2n, 3n], codec: 'snappy' },
      { name: 'age', type: PARQUET.DOUBLE, values: [1.5, null], codec: 'gzip' },
    ],
  })
  const plain = '{"age_out":[[1.5],[null]],"visits_out":[[2],[3]],"city_out":[["Bern"],["[x"]]}\n'
  const typed = { 'content-type': 'application/vnd.apache.parquet' }
  for (const route of ['/predictions/people', '/invocations?model_name=people']) {
    const [status, text, headers] = await post(server, route, body, typed)
    assert.deepEqual([status, text], [200, plain], route)
    assert.equal(headers.get('onnxd-ignored-columns'), 'id')
  }
  const [, v1] = await post(server, '/v1/models/people:predict', body, typed)
  assert.deepEqual(JSON.parse(v1), {
    predictions: [
      { age_out: [1.5], visits_out: [2], city_out: ['Bern'] },
      { age_out: [null], visits_out: [3], city_out: ['[x'] },
    ],
  })
  const [, csv] = await post(server, '/predictions/people', body, { ...typed, accept: 'text/csv' })
  assert.equal(csv, '1.5,2,Bern\nNaN,3,[x\n')
  const name = path.join(folder, 'x.parquet')
  writeFileSync(name, body)
  const url = `${server.inferenceUrl}/predictions/people`
  for (const flags of [
    ['-T', name],
    ['-F', `file=@${name}`],
    ['--data-binary', `@${name}`],
  ]) {
    const type = flags[0] === '--data-binary' ? ['-H', 'content-type: application/x-parquet'] : []
    const text = execFileSync('curl', ['-sS', ...flags, ...type, url]).toString()
    assert.equal(text, plain, flags[0])
  }
  const cut = await post(server, '/predictions/people', body.subarray(0, 200), typed)
  assert.equal(cut[0], 400)
  assert.match(cut[1], /The Parquet file is damaged: it is cut off/)
  const bomb = parquetFile({
    columns: [{ name: 'length', type: PARQUET.INT32, values: [1] }],
    rows: 2 ** 40,
  })
  const [status, text] = await post(server, '/predictions/flowers', bomb, typed)
  assert.equal(status, 400, text)
  assert.match(text, /Missing column \\"width\\"/)
})

test('a CSV file without its content type is known by its header, or told to send the type', async () => {
  const server = await serve()
  const withHeader = 'length,width\n1.5,2.5\n3.5,4.5\n5.5,6.5\n'
  const typed = { 'content-type': 'text/csv' }
  const untyped = { 'content-type': 'application/octet-stream' }
  assert.deepEqual(
    await post(server, '/predictions/flowers', withHeader, untyped),
    await post(server, '/predictions/flowers', withHeader, typed),
  )
  for (const body of ['1,2\n3,4\n5,6\n7,8\n', withHeader]) {
    const [raw, text] = await post(server, '/predictions/flowers', body, {
      'content-type': 'application/octet-stream',
    })
    if (body !== withHeader) {
      assert.equal(raw, 415)
      assert.match(text, /send CSV with the content type text\/csv, or send the numbers as JSON/)
    }
    const [form, hint] = await post(server, '/predictions/flowers', body, {
      'content-type': 'application/x-www-form-urlencoded',
    })
    assert.equal(form, 400)
    assert.match(hint, /it looks like CSV; send the header/)
  }
})

test('missing numbers are NaN in every dialect, and a table has the limit of JSON', async () => {
  const server = await serve()
  const data = [1, null]
  const typed = { 'content-type': 'application/json' }
  const bodies: Readonly<Record<string, object>> = {
    '/predictions/flowers': { x: [data] },
    '/v1/models/flowers:predict': { instances: [data] },
    '/v2/models/flowers/infer': {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data }],
    },
  }
  for (const [route, body] of Object.entries(bodies)) {
    const [status, text] = await post(server, route, JSON.stringify(body), typed)
    assert.equal(status, 200, text)
    assert.match(text, /\[1,null\]/, route)
  }
  const [status, text] = await post(server, '/predictions/flowers', '1,2\n'.repeat(30_000))
  assert.equal(status, 413)
  assert.match(text, /The CSV has 120000 bytes, more than the limit of 100000; send it in parts/)
})

test('the OpenAPI document has the records of a model and the types of tables', async () => {
  const server = await serve()
  const document = (await json(await server.fetch('/v2/models/flowers/openapi.json'))) as Document
  const { content } = document.paths['/predictions/flowers']?.post.requestBody ?? {}
  assert.deepEqual(Object.keys(content ?? {}), [
    'application/json',
    'application/octet-stream',
    'application/x-ndjson',
    'text/csv',
    'application/x-npy',
  ])
  const record = document.components.schemas['FlowersRecord']
  assert.deepEqual(Object.keys(record?.properties ?? {}), ['length', 'width'])
})

interface Document {
  readonly paths: Readonly<
    Record<string, { readonly post: { readonly requestBody: { readonly content: object } } }>
  >
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly properties: object }>>
  }
}
