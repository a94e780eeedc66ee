/** Tables for models of images and texts, and images for models of tables: the next step. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import sharp from 'sharp'
import { identityGraph, node, writeModelFolder } from '../helpers/onnx-builder.ts'
import type { ModelSource } from '../helpers/onnx-builder.ts'
import { PARQUET, parquetFile } from '../helpers/parquet.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { columnsGraph } from '../helpers/tables.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(async () => {
  for (const run of cleanups) await run()
})
const folder = temporaryFolder(cleanup)
const MEANS: ModelSource = {
  inputs: [{ name: 'pixels', type: 'FP32', shape: ['N', 3, 4, 4] }],
  outputs: [{ name: 'scores', type: 'FP32', shape: ['N', 3] }],
  nodes: [
    node('GlobalAveragePool', ['pixels'], 'means'),
    node('Flatten', ['means'], 'scores', { axis: 1 }),
  ],
}
const flowers = identityGraph({ type: 'FP32', shape: ['N', 2] })
const MODELS = [
  writeModelFolder(folder, 'image', MEANS, {
    'model.json': JSON.stringify({ handler: 'image', labels: 'labels.txt' }),
    'labels.txt': 'a\nb\nc\n',
  }),
  writeModelFolder(folder, 'people', columnsGraph({ age: 'FP32', city: 'BYTES' })),
  writeModelFolder(folder, 'flowers', flowers, {
    'model.json': JSON.stringify({ columns: ['length', 'width'] }),
  }),
  tinyTextModel(cleanup, 'text', {
    suffix: 'ForSequenceClassification',
    labels: ['bad', 'so so', 'good'],
    graph: 'pooled',
    width: 3,
  }),
]
const ROUTES = {
  predictions: (model: string) => `/predictions/${model}`,
  v1: (model: string) => `/v1/models/${model}:predict`,
  v2: (model: string) => `/v2/models/${model}/infer`,
}
type Dialect = keyof typeof ROUTES
const OCTETS = 'application/octet-stream'
const CSV = 'length,width\n1,2\n3,4\n'
const PARQUET_TYPE = 'application/vnd.apache.parquet'
const TABLE = parquetFile({
  columns: ['length', 'width'].map((name) => ({ name, type: PARQUET.DOUBLE, values: [1, 2] })),
})

/** `status message` of a response. */
async function send(dialect: Dialect, model: string, body: string | Buffer, type: string) {
  const server = await sharedServer(MODELS)
  const answer = await server.fetch(ROUTES[dialect](model), {
    method: 'POST',
    body: new Uint8Array(Buffer.from(body)),
    headers: { 'content-type': type },
  })
  const text = await answer.text()
  const { message, error } = JSON.parse(text) as { message?: string; error?: string }
  return `${answer.status} ${message ?? error}`
}

test('a table for a model of images names the images that it takes', async () => {
  const images = /^4\d\d .*The model also accepts images: send JPEG, PNG, .*base64/
  assert.match(await send('predictions', 'image', CSV, 'text/csv'), images)
  assert.match(await send('predictions', 'image', TABLE, PARQUET_TYPE), images)
  assert.match(await send('predictions', 'image', TABLE, OCTETS), images)
  assert.match(await send('predictions', 'image', '{"length":1}\n', 'application/jsonl'), images)
  assert.match(await send('v1', 'image', CSV, 'text/csv'), /^400 CSV row 1 has 2 values, but the/)
})

test('a table for a model of texts says how texts are sent', async () => {
  const hint = /^4\d\d .*The model takes texts: send the column of texts to \/predictions as JSON/
  for (const dialect of ['predictions', 'v1'] as const) {
    assert.match(await send(dialect, 'text', CSV, 'text/csv'), hint, dialect)
    assert.match(await send(dialect, 'text', TABLE, PARQUET_TYPE), hint, dialect)
    assert.match(await send(dialect, 'text', TABLE, OCTETS), hint, dialect)
  }
  const server = await sharedServer(MODELS)
  const answer = await server.fetch('/predictions/text', {
    method: 'POST',
    body: JSON.stringify({ inputs: ['good cat', 'bad cat'] }),
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(answer.status, 200)
  assert.equal(((await answer.json()) as unknown[]).length, 2)
})

test('/v2 says where tables are taken', async () => {
  const bodies = [
    [CSV, 'text/csv'],
    [TABLE, PARQUET_TYPE],
    ['PK', 'application/x-npz'],
  ] as const
  for (const [body, type] of bodies) {
    const found = await send('v2', 'flowers', body, type)
    assert.match(
      found,
      /^415 The Open Inference Protocol has no tables .* Send them to \/predictions/,
    )
  }
  const untyped = await send('v2', 'flowers', TABLE, OCTETS)
  assert.match(
    untyped,
    /^415 The body is a Parquet file, not JSON; send it to \/predictions or \/v1/,
  )
})

test('an image for a model of tables is named, with the setting for images', async () => {
  const red = sharp({ create: { width: 8, height: 8, channels: 3, background: '#f00' } })
  const png = await red.png().toBuffer()
  const jpeg = await red.jpeg().toBuffer()
  const setting = /^4\d\d .*"handler": "image" in (?:its )?model\.json/
  for (const model of ['people', 'flowers']) {
    for (const dialect of ['predictions', 'v1', 'v2'] as const) {
      for (const [body, type] of [
        [png, 'image/png'],
        [jpeg, 'image/jpeg'],
        [png, OCTETS],
      ] as const) {
        const found = await send(dialect, model, body, type)
        assert.match(found, setting, `${dialect} ${model} ${type}`)
        assert.match(found, /^415 /)
      }
    }
    const csv = await send('predictions', model, png, 'text/csv')
    assert.match(csv, /^415 The body is a PNG image, not CSV; send it with its own content type/)
    const base64 = JSON.stringify({ instances: [{ b64: png.toString('base64') }] })
    for (const dialect of ['predictions', 'v1'] as const) {
      assert.match(await send(dialect, model, base64, 'application/json'), setting)
    }
  }
})
