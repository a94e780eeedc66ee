/** Every form of a response for every kind of output, over HTTP. */
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { classifierModel, expectedScores } from '../helpers/classifier-models.ts'
import { npyFile } from '../helpers/npy.ts'
import { identityGraph, integers, node, writeModelFolder } from '../helpers/onnx-builder.ts'
import type { ModelSource } from '../helpers/onnx-builder.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(async () => {
  for (const run of cleanups) await run()
})
const folder = temporaryFolder(cleanup)
const write = (name: string, source: ModelSource, settings: object = {}, labels = ''): string =>
  writeModelFolder(folder, name, source, {
    'model.json': JSON.stringify(settings),
    'labels.txt': labels,
  })
const ONE = { type: 'FP32', shape: ['N', 2] } as const
const UNEVEN: ModelSource = {
  inputs: [{ name: 'x', ...ONE }],
  outputs: [
    { name: 'y', ...ONE },
    { name: 'total', type: 'FP32', shape: [1] },
  ],
  nodes: [
    node('Identity', ['x'], 'y'),
    node('ReduceSum', ['x'], 'sum', { keepdims: 0 }),
    node('Reshape', ['sum', 'size'], 'total'),
  ],
  constants: { size: integers(1) },
}
const SCALAR: ModelSource = {
  inputs: [{ name: 'x', ...ONE }],
  outputs: [{ name: 'y', type: 'FP32', shape: [] }],
  nodes: [node('ReduceSum', ['x'], 'y', { keepdims: 0 })],
}
const MODELS = [
  write('species', classifierModel()),
  write('odd', classifierModel({ classes: ['a,b', 'c"d', 'e'] })),
  write('arrays', classifierModel(), { probabilities: 'array' }),
  write('named', classifierModel({ classes: [1, 2, 3] }), { labels: 'labels.txt' }, 'x\ny\nz\n'),
  write('matrix', identityGraph(ONE)),
  write('cube', identityGraph({ type: 'FP32', shape: ['N', 2, 2] })),
  write('vector', identityGraph({ type: 'FP32', shape: ['N'] })),
  write('texts', identityGraph({ type: 'BYTES', shape: ['N', 2] })),
  write('scalar', SCALAR),
  write('uneven', UNEVEN),
]
const CSV = 'text/csv; header=present'
const RECORDS = 'application/json; orient=records'
const LINES = 'application/x-ndjson'
const NPY = 'application/x-npy'
const NPZ = 'application/x-npz'
const ROWS = [
  [0, 0.125, 2, 1],
  [3, 0, 0, 0],
]

async function ask(server: TestServer, model: string, x: unknown, accept: string, route = '') {
  const answer = await server.fetch(route || `/predictions/${model}`, {
    method: 'POST',
    body: x instanceof Buffer ? new Uint8Array(x) : JSON.stringify({ x }),
    headers: {
      'content-type': x instanceof Buffer ? 'application/x-npy' : 'application/json',
      accept,
    },
  })
  const body = Buffer.from(await answer.arrayBuffer())
  return { status: answer.status, type: answer.headers.get('content-type'), body }
}

async function textOf(server: TestServer, model: string, x: unknown, accept: string, route = '') {
  const { status, body } = await ask(server, model, x, accept, route)
  return status === 200 ? body.toString() : `${status} ${body.toString()}`
}

/** Numbers with five digits, so that the results of different machines are equal. */
function rounded(text: string): string {
  return text.replaceAll(/\d+\.\d+(?:e-?\d+)?/g, (digits) => Number(digits).toFixed(5))
}

const SCORES = ROWS.map((row) => expectedScores(row).map((value) => value.toFixed(5)))
const [first = [], second = []] = SCORES

test('a classifier with ZipMap has one column for each label in CSV', async () => {
  const server = await sharedServer(MODELS)
  const table = [
    'label,probabilities.setosa,probabilities.versicolor,probabilities.virginica',
    `virginica,${first.join()}`,
    `setosa,${second.join()}`,
    '',
  ].join('\n')
  for (const route of ['/predictions/species', '/invocations?model_name=species']) {
    assert.equal(rounded(await textOf(server, 'species', ROWS, CSV, route)), table, route)
  }
  const plain = rounded(await textOf(server, 'species', ROWS, 'text/csv'))
  assert.equal(plain, table.slice(table.indexOf('\n') + 1))
  const odd = await textOf(server, 'odd', ROWS, CSV)
  assert.match(odd, /^label,"probabilities\.a,b","probabilities\.c""d",probabilities\.e\ne,/)
  const named = await textOf(server, 'named', ROWS, CSV)
  assert.match(named, /^label,probabilities\.x,probabilities\.y,probabilities\.z\nz,/)
  const arrays = await textOf(server, 'arrays', ROWS, CSV)
  assert.match(arrays, /^label,probabilities_0,probabilities_1,probabilities_2\nvirginica,/)
})

test('its records have the probabilities as an object by label, on /v1 too', async () => {
  const server = await sharedServer(MODELS)
  const object = ([setosa, versicolor, virginica]: readonly string[]): string =>
    `{"setosa":${setosa},"versicolor":${versicolor},"virginica":${virginica}}`
  const records = [
    `{"label":"virginica","probabilities":${object(first)}}`,
    `{"label":"setosa","probabilities":${object(second)}}`,
  ]
  const list = `[${records.join()}]\n`
  const lines = `${records.join('\n')}\n`
  assert.equal(rounded(await textOf(server, 'species', ROWS, RECORDS)), list)
  assert.equal(rounded(await textOf(server, 'species', ROWS, LINES)), lines)
  const answer = await server.fetch('/v1/models/species:predict', {
    method: 'POST',
    body: JSON.stringify({ instances: ROWS }),
    headers: { 'content-type': 'application/json', accept: LINES },
  })
  assert.equal(rounded(await answer.text()), lines)
  const arrays = rounded(await textOf(server, 'arrays', ROWS, LINES))
  assert.ok(arrays.startsWith(`{"label":"virginica","probabilities":[${first.join()}]}\n`), arrays)
  const named = JSON.parse(await textOf(server, 'named', ROWS, RECORDS)) as Record<string, object>[]
  assert.deepEqual(Object.keys(named[0]?.['probabilities'] ?? {}), ['x', 'y', 'z'])
  assert.equal(named[0]?.['label'], 'z')
})

test('tables of matrices, vectors, cubes and texts', async () => {
  const server = await sharedServer(MODELS)
  const numbers = [
    [1, 2],
    [3, 4],
  ]
  const cases: readonly (readonly [string, unknown, string, string])[] = [
    ['matrix', numbers, 'y_0,y_1\n1,2\n3,4\n', '[{"y":[1,2]},{"y":[3,4]}]\n'],
    ['vector', [1, 2], 'y\n1\n2\n', '[{"y":1},{"y":2}]\n'],
    ['cube', [numbers], 'y_0,y_1,y_2,y_3\n1,2,3,4\n', '[{"y":[[1,2],[3,4]]}]\n'],
    ['texts', [['a,"', '']], 'y_0,y_1\n"a,""",""\n', '[{"y":["a,\\"",""]}]\n'],
  ]
  for (const [model, x, csv, records] of cases) {
    assert.equal(await textOf(server, model, x, CSV), csv)
    assert.equal(await textOf(server, model, x, RECORDS), records)
    const array = await ask(server, model, x, NPY)
    assert.deepEqual([array.status, array.type], [200, NPY], model)
    // What the server writes, it also reads.
    assert.equal(await textOf(server, model, array.body, CSV), csv, model)
    const archive = await ask(server, model, x, NPZ)
    assert.deepEqual([archive.status, archive.type], [200, NPZ], model)
    const again = await server.fetch(`/predictions/${model}`, {
      method: 'POST',
      body: new Uint8Array(renamed(archive.body)),
      headers: { 'content-type': NPZ, accept: CSV },
    })
    assert.equal(await again.text(), csv, model)
  }
})

test('outputs that are no table are rejected with the forms that are possible', async () => {
  const server = await sharedServer(MODELS)
  const advice = 'accept application/json or application/x-npz.'
  for (const accept of [CSV, RECORDS, LINES]) {
    const scalar = await textOf(server, 'scalar', [[1, 2]], accept)
    assert.match(
      scalar,
      /^406 .*The response cannot be a table, because output \\"y\\" has no rows/s,
    )
    const uneven = await textOf(
      server,
      'uneven',
      ROWS.slice(0, 2).map((row) => row.slice(2)),
      accept,
    )
    assert.match(
      uneven,
      /^406 .*a table with 2 rows, because output \\"total\\" has the shape \[1\]/s,
    )
    assert.ok(scalar.includes(advice) && uneven.includes(advice), uneven)
  }
  const several = await textOf(server, 'species', ROWS, NPY)
  assert.match(several, /^406 .*The model has 2 outputs, .* accept application\/x-npz or/s)
  const { status, body } = await ask(server, 'scalar', [[1, 2]], NPY)
  assert.equal(status, 200)
  assert.ok(body.includes("'shape': (), }"))
  assert.equal(body.readFloatLE(body.length - 4), 3)
})

test('an empty batch has a header and no rows', async () => {
  const server = await sharedServer(MODELS)
  const none = npyFile({ descr: '<f4', shape: [0, 2], data: Buffer.alloc(0) })
  assert.equal(await textOf(server, 'matrix', none, CSV), 'y_0,y_1\n')
  assert.equal(await textOf(server, 'matrix', none, RECORDS), '[]\n')
  assert.equal(await textOf(server, 'matrix', none, LINES), '')
  const { body } = await ask(server, 'matrix', none, NPY)
  assert.ok(body.includes("'shape': (0, 2), }"))
})

/** The archive with its only array named as the input. */
function renamed(archive: Buffer): Buffer {
  return Buffer.from(archive.toString('latin1').replaceAll('y.npy', 'x.npy'), 'latin1')
}
