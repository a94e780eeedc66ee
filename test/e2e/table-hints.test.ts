/** Tables in forms that are nearly right: what is read, and what the errors advise. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
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
const flowers = writeModelFolder(
  folder,
  'flowers',
  identityGraph({ type: 'FP32', shape: ['N', 2] }),
  {
    'model.json': JSON.stringify({ columns: ['length', 'width'] }),
  },
)
const plain = writeModelFolder(folder, 'plain', identityGraph({ type: 'FP32', shape: ['N', 2] }))
const people = writeModelFolder(folder, 'people', columnsGraph({ age: 'FP32', city: 'BYTES' }))
const WIDTH = 20_000
const wide = writeModelFolder(folder, 'wide', identityGraph({ type: 'FP32', shape: ['N', WIDTH] }))
const MODELS = [flowers, plain, people, wide]
const CSV = 'text/csv'
const JSON_TYPE = 'application/json'
const ROUTES = {
  predictions: (model: string) => `/predictions/${model}`,
  invocations: (model: string) => `/invocations?model_name=${model}`,
  v1: (model: string) => `/v1/models/${model}:predict`,
}

/** `status body` with the text of an error as it is. */
async function send(
  model: string,
  body: string | Buffer,
  type: string,
  route = ROUTES.predictions,
) {
  const server = await sharedServer(MODELS)
  const answer = await server.fetch(route(model), {
    method: 'POST',
    body: new Uint8Array(Buffer.from(body)),
    headers: type === '' ? {} : { 'content-type': type },
  })
  const text = await answer.text()
  if (answer.status === 200) return `200 ${text}`
  const { message, error } = JSON.parse(text) as { message?: string; error?: string }
  return `${answer.status} ${message ?? error}`
}

test('CSV in UTF-16 with a byte order mark is read, also without a content type', async () => {
  const text = '\ufeffage,city\r\n1.5,Zürich\r\n,"a\nb"\r\n'
  const little = Buffer.from(text, 'utf16le')
  const big = Buffer.from(little).swap16()
  const wanted = '200 {"age_out":[[1.5],[null]],"city_out":[["Zürich"],["a\\nb"]]}\n'
  for (const body of [Buffer.from(text), little, big]) {
    for (const type of [CSV, 'application/octet-stream']) {
      assert.equal(await send('people', body, type), wanted)
    }
    assert.equal(await send('people', body, CSV, ROUTES.invocations), wanted)
  }
  const file = path.join(folder, 'excel.csv')
  writeFileSync(file, little)
  const server = await sharedServer(MODELS)
  const url = `${server.inferenceUrl}/predictions/people`
  assert.equal(`200 ${execFileSync('curl', ['-sS', '-T', file, url]).toString()}`, wanted)
  const odd = await send('people', little.subarray(0, -1), CSV)
  assert.match(odd, /^400 The CSV is not UTF-8 text/)
  const without = await send('people', little.subarray(2), CSV)
  assert.match(without, /^400 The CSV is not UTF-8 text\. Save it as UTF-8/)
})

test('other separators are named, with the first cell that has a decimal comma', async () => {
  const advice = ': separate them with commas, and write decimals with a point.'
  const semicolons = `400 The fields of the CSV are separated by semicolons${advice}`
  const tabs = `400 The fields of the CSV are separated by tabs${advice}`
  const decimal = `${semicolons} Row 1, column "width", has "2,5".`
  for (const route of Object.values(ROUTES)) {
    assert.equal(await send('flowers', 'length;width\n1;2,5\n', CSV, route), decimal)
    assert.equal(await send('flowers', 'length;width\n1;2\n', CSV, route), semicolons)
  }
  for (const type of ['', 'application/octet-stream']) {
    assert.equal(await send('flowers', 'length;width\n1;2,5\n', type), decimal, type)
    assert.equal(await send('flowers', 'length\twidth\n1\t2\n', type), tabs, type)
  }
  assert.equal(await send('flowers', '1;2,5\n3;4\n', CSV), decimal)
  assert.equal(
    await send('flowers', '1,5;2,5\n', CSV),
    decimal.replace('"width", has "2,5"', '"length", has "1,5"'),
  )
  assert.equal(await send('plain', '1;2,5\n', CSV), decimal.replace('width', '1'))
  assert.equal(await send('flowers', 'length;width\n', CSV), semicolons)
  assert.equal(await send('flowers', 'length\twidth\n1\t2\n', 'text/tab-separated-values'), tabs)
  const cell = await send('flowers', 'length,width\n1,2\n3,"4,5"\n', CSV)
  assert.equal(
    cell,
    '400 CSV row 2, column "width": "4,5" is not a number (FP32); write decimals with a point.',
  )
  // A text may have any of these characters.
  assert.match(await send('people', '1,2;x\n', CSV), /^200 .*"2;x"/)
  assert.match(await send('people', 'age,city\n1,"2;5|\t"\n', CSV), /^200 .*"2;5\|\\t"/)
})

test('a table keyed by row gets the names of the forms that are read', async () => {
  const index = { 0: { length: 1, width: 2 }, 1: { length: 3, width: null } }
  const columns = { length: { 0: 1, 1: 3 }, width: { 0: 2, 1: null } }
  for (const [name, route] of Object.entries(ROUTES)) {
    const found = await send('flowers', JSON.stringify(index), JSON_TYPE, route)
    assert.match(
      found,
      /^400 The table is an object keyed by row, as to_json\(orient="index"\) writes it\. Send to_json\(\) with orient="records", "split"/,
      name,
    )
    const read = await send('flowers', JSON.stringify(columns), JSON_TYPE, route)
    assert.match(read, /^200 .*\[\[1,2\],\[3,null\]\]/, name)
  }
  const keyed = await send('people', JSON.stringify({ a: { city: 'x', age: 1 } }), JSON_TYPE)
  assert.match(keyed, /^400 The table is an object keyed by row/)
  assert.match(await send('people', '{"a":{"b":1}}', JSON_TYPE), /^400 Unknown input "a"/)
})

test('quoted line ends and very long lines are read', async () => {
  const text = 'city,age\n"a\r\nb,""c""\n",1\n'
  assert.match(await send('people', text, CSV), /^200 .*"city_out":\[\["a\\r\\nb,\\"c\\"\\n"\]\]/)
  const row = Array.from({ length: WIDTH }, (_, index) => index % 7).join()
  const names = Array.from({ length: WIDTH }, (_, index) => `pixel${index}`).join()
  assert.equal(await send('wide', `${row}\n`, CSV), `200 {"y":[[${row}]]}\n`)
  assert.equal(await send('wide', `${names}\n${row}\n`, CSV), `200 {"y":[[${row}]]}\n`)
  const long = 'x'.repeat(1_000_000)
  assert.match(await send('people', `1,${long}\n`, CSV), /^200 /)
  const number = await send('flowers', `1,${long}\n2,2\n3,${long}\n`, CSV)
  assert.match(number, /^400 /)
  assert.ok(number.length < 1000)
})
