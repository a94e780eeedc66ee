/** Images over real HTTP: every form of a request on every REST dialect. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import sharp from 'sharp'
import { bmpFile } from '../helpers/bmp.ts'
import { failedModels } from '../helpers/observe.ts'
import { modelBytes, node } from '../helpers/onnx-builder.ts'
import type { ModelSource } from '../helpers/onnx-builder.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const LABELS = ['red', 'green', 'blue']
const JSON_TYPE = { 'content-type': 'application/json' }
const COLORS = { red: '#ff0000', green: '#00ff00', blue: '#0000ff' } as const

/** Scores of an image are the means of its channels. */
const means: ModelSource = {
  inputs: [{ name: 'pixels', type: 'FP32', shape: ['N', 3, 4, 4] }],
  outputs: [{ name: 'scores', type: 'FP32', shape: ['N', 3] }],
  nodes: [
    node('GlobalAveragePool', ['pixels'], 'means'),
    node('Flatten', ['means'], 'scores', { axis: 1 }),
  ],
}
/** Returns the shape of the image, and the other inputs. */
const sizes: ModelSource = {
  inputs: [
    { name: 'pixels', type: 'FP32', shape: ['N', 3, 'H', 'W'] },
    { name: 'size', type: 'INT64', shape: ['N', 2] },
    { name: 'mask', type: 'INT64', shape: ['N', 'H', 'W'] },
  ],
  outputs: [
    { name: 'shape', type: 'INT64', shape: [4] },
    { name: 'sizes', type: 'INT64', shape: ['N', 2] },
    { name: 'masks', type: 'INT64', shape: ['N', 'H', 'W'] },
  ],
  nodes: [
    node('Shape', ['pixels'], 'shape'),
    node('Identity', ['size'], 'sizes'),
    node('Identity', ['mask'], 'masks'),
  ],
}
/** An image without a batch dimension. */
const single: ModelSource = {
  inputs: [{ name: 'pixels', type: 'UINT8', shape: [2, 2, 3] }],
  outputs: [{ name: 'same', type: 'UINT8', shape: [2, 2, 3] }],
  nodes: [node('Identity', ['pixels'], 'same')],
}
const bmp = bmpFile({
  width: 2,
  height: 2,
  bits: 24,
  rows: [
    [0x00ff00, 0x00ff00],
    [0x00ff00, 0x00ff00],
  ],
})

const cleanups: (() => unknown)[] = []
const store = temporaryFolder({ after: (run) => cleanups.push(run as () => unknown) })
after(() => cleanups.map((run) => run()))
let server: TestServer
let red: Buffer
let blue: Buffer

function writeImageModel(
  name: string,
  graph: ModelSource,
  settings: object,
  files: Readonly<Record<string, string>> = {},
): void {
  const folder = path.join(store, name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.onnx'), modelBytes(graph))
  const all = { 'model.json': JSON.stringify({ handler: 'image', ...settings }), ...files }
  for (const [file, content] of Object.entries(all)) {
    writeFileSync(path.join(folder, file), content)
  }
}

function picture(color: string, width = 6, height = 4): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: color } })
    .png()
    .toBuffer()
}

before(async () => {
  const labels = { 'labels.txt': LABELS.join('\n') }
  writeImageModel('means', means, { labels: 'labels.txt', topK: 1 }, labels)
  const config = {
    size: { shortest_edge: 4, longest_edge: 8 },
    image_mean: [0],
    image_std: [1],
    patch_size: 3,
  }
  const inputs = { size: 'height-width', mask: 'mask' }
  writeImageModel(
    'sizes',
    sizes,
    { image: { inputs } },
    {
      'preprocessor_config.json': JSON.stringify(config),
    },
  )
  writeImageModel('single', single, { image: { preset: 'raw' } })
  const names = ['means', 'sizes', 'single'].map((name) => path.join(store, name))
  server = await sharedServer(names, { workers: 1 })
  red = await picture(COLORS.red)
  blue = await picture(COLORS.blue)
})

async function post(
  route: string,
  body: Exclude<RequestInit['body'], undefined>,
  headers: Record<string, string> = {},
): Promise<readonly [number, unknown]> {
  const answer = await server.fetch(route, { method: 'POST', body, headers })
  return [answer.status, await json(answer)]
}

function postJson(route: string, body: unknown): Promise<readonly [number, unknown]> {
  return post(route, JSON.stringify(body), JSON_TYPE)
}

function classOf(name: keyof typeof COLORS): object {
  return { class: name, index: LABELS.indexOf(name), probability: 1 }
}

test('a raw body is an image by its first bytes, whatever its content type is', async () => {
  const types = ['', 'image/png', 'application/octet-stream', 'application/json', 'text/plain']
  for (const type of [...types, 'application/x-www-form-urlencoded']) {
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type }
    assert.deepEqual(await post('/predictions/means', red, headers), [200, [classOf('red')]], type)
    assert.deepEqual(
      await post('/predictions/means', bmp, headers),
      [200, [classOf('green')]],
      type,
    )
  }
  for (const dialect of ['/v1/models/means:predict', '/v2/models/means/infer']) {
    const [status, body] = await post(dialect, blue, { 'content-type': 'image/png' })
    assert.equal(status, 200, JSON.stringify(body))
    assert.match(JSON.stringify(body), /"data":\[0,0,1\]|"predictions":\[\[0,0,1\]\]/)
  }
})

test('base64 in JSON works on every dialect, and a list gives a list', async () => {
  const [first, second] = [red.toString('base64'), blue.toString('base64')]
  const one = [200, [classOf('red')]]
  assert.deepEqual(await postJson('/predictions/means', { b64: first }), one)
  assert.deepEqual(
    await postJson('/predictions/means', { image: `data:image/png;base64,${first}` }),
    one,
  )
  const both = [200, [[classOf('red')], [classOf('blue')]]]
  assert.deepEqual(await postJson('/predictions/means', [first, { b64: second }]), both)
  const instances = { instances: [{ b64: first }, { image: { b64: second } }] }
  assert.deepEqual(await postJson('/predictions/means', instances), both)
  assert.deepEqual(await postJson('/v1/models/means:predict', instances), [
    200,
    {
      predictions: [
        [1, 0, 0],
        [0, 0, 1],
      ],
    },
  ])
  const input = { name: 'pixels', datatype: 'BYTES', shape: [2], data: [first, second] }
  const scores = [{ name: 'scores', datatype: 'FP32', shape: [2, 3], data: [1, 0, 0, 0, 0, 1] }]
  const fields = { model_name: 'means', model_version: '1.0' }
  for (const route of ['/v2/models/means/infer', '/predictions/means']) {
    const answer = await postJson(route, { id: 'a', inputs: [input] })
    assert.deepEqual(answer, [200, { id: 'a', ...fields, outputs: scores }], route)
  }
  const outputs = [{ name: 'scores', parameters: { classification: 1 } }]
  const [, ranked] = await postJson('/v2/models/means/infer', { inputs: [input], outputs })
  assert.match(JSON.stringify(ranked), /"data":\["1.000000:0:red","1.000000:2:blue"\]/)
})

test('binary tensors of /v2 hold the files themselves', async () => {
  const element = (file: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(file.length)
    return Buffer.concat([length, file])
  }
  const data = Buffer.concat([element(red), element(bmp)])
  const head = Buffer.from(
    JSON.stringify({
      inputs: [
        {
          name: 'pixels',
          datatype: 'BYTES',
          shape: [2, 1],
          parameters: { binary_data_size: data.length },
        },
      ],
    }),
  )
  const length = { 'inference-header-content-length': String(head.length) }
  const [status, body] = await post('/v2/models/means/infer', Buffer.concat([head, data]), length)
  assert.equal(status, 200, JSON.stringify(body))
  assert.match(JSON.stringify(body), /"data":\[1,0,0,0,1,0\]/)

  const raw = await server.fetch('/v2/models/means/infer', {
    method: 'POST',
    body: bmp,
    headers: { 'inference-header-content-length': '0' },
  })
  const bytes = Buffer.from(await raw.arrayBuffer())
  const start = Number(raw.headers.get('inference-header-content-length'))
  assert.deepEqual(
    [0, 4, 8].map((at) => bytes.readFloatLE(start + at)),
    [0, 1, 0],
  )
})

test('tensors are still accepted on every dialect', async () => {
  const data = Array.from({ length: 48 }, (_, index) => Number(index >= 32))
  const nested = [0, 1, 2].map((channel) =>
    [0, 1, 2, 3].map(() => [0, 1, 2, 3].map(() => Number(channel === 2))),
  )
  const input = { name: 'pixels', datatype: 'FP32', shape: [1, 3, 4, 4], data }
  const [, v2] = await postJson('/v2/models/means/infer', { id: 'BYTES', inputs: [input] })
  assert.match(JSON.stringify(v2), /"data":\[0,0,1\]/)
  const v1 = await postJson('/v1/models/means:predict', { instances: [nested] })
  assert.deepEqual(v1, [200, { predictions: [[0, 0, 1]] }])
  const plain = await postJson('/predictions/means', { pixels: [nested] })
  assert.deepEqual(plain, [200, { scores: [[0, 0, 1]] }])
})

test('a form with several files gives a list of results', async () => {
  const form = new FormData()
  for (const file of [red, blue, bmp]) form.append('image', new Blob([file]), 'x')
  const answer = await post('/predictions/means', form)
  assert.deepEqual(answer, [200, [[classOf('red')], [classOf('blue')], [classOf('green')]]])
})

test('classes are CSV if the client accepts it, and other types are refused', async () => {
  const ask = (accept: string, body: Buffer | FormData): Promise<Response> =>
    server.fetch('/predictions/means', { method: 'POST', body, headers: { accept } })
  const one = await ask('text/csv', red)
  assert.deepEqual([one.status, one.headers.get('content-type')], [200, 'text/csv'])
  assert.equal(await one.text(), 'label,score\nred,1\n')
  const form = new FormData()
  form.set('a', new Blob([red]))
  form.set('b', new Blob([blue]))
  const lines = (await (await ask('text/csv', form)).text()).split('\n')
  assert.deepEqual([lines[0], lines[1]], ['image,label,score', '0,red,1'])
  assert.ok(lines.includes('1,blue,1'), lines.join(' '))
  const refused = await ask('image/png', red)
  assert.equal(refused.status, 406)
  assert.match(
    await refused.text(),
    /accept application\/json, text\/csv, application\/octet-stream/,
  )
})

test('a Hugging Face file sets the size, and other inputs get sizes and a mask', async () => {
  const wide = (await picture(COLORS.red, 30, 15)).toString('base64')
  const high = (await picture(COLORS.blue, 10, 10)).toString('base64')
  const [status, body] = await postJson('/predictions/sizes', [wide, high])
  assert.equal(status, 200, JSON.stringify(body))
  const full = '11111111'
  const half = '11110000'
  const masks = [full, half].map((row) => Array.from({ length: 4 }, () => [...row].map(Number)))
  assert.deepEqual(body, {
    shape: [2, 3, 4, 8],
    sizes: [
      [15, 30],
      [10, 10],
    ],
    masks,
  })
  const [, alone] = await postJson('/v1/models/sizes:predict', { instances: [{ b64: high }] })
  assert.match(JSON.stringify(alone), /\[1,3,4,4\]/)
})

test('a model without a batch dimension takes one image', async () => {
  assert.deepEqual(await post('/predictions/single', bmp), [
    200,
    {
      same: [
        [
          [0, 255, 0],
          [0, 255, 0],
        ],
        [
          [0, 255, 0],
          [0, 255, 0],
        ],
      ],
    },
  ])
  const text = bmp.toString('base64')
  const [status, body] = await postJson('/predictions/single', [text, text])
  assert.equal(status, 400)
  assert.match(JSON.stringify(body), /takes 1 image in a request, but the request has 2/)
})

test('errors name the image, its format and the next step', async () => {
  const broken = red.subarray(0, 50).toString('base64')
  const cases: [route: string, body: unknown, status: number, pattern: RegExp][] = [
    [
      '/predictions/means',
      [red.toString('base64'), broken],
      400,
      /The PNG image 2 of 2 cannot be decoded: .*Check that the whole file was sent/,
    ],
    ['/predictions/means', { b64: 'aGVsbG8=' }, 400, /Image 1 .* is not an image file; send JPEG/],
    [
      '/v1/models/means:predict',
      { instances: [{ b64: 'https://example.com/a.png' }] },
      400,
      /URLs are not fetched; send the file in base64/,
    ],
    [
      '/v2/models/means/infer',
      { inputs: [{ name: 'pixels', datatype: 'BYTES', shape: [1], data: ['###'] }] },
      400,
      /Image 1 of the request is not base64: \\"###\\"/,
    ],
    [
      '/v2/models/means/infer',
      { inputs: [{ name: 'pixels', datatype: 'BYTES', shape: [2], data: [broken] }] },
      400,
      /requires 2 elements/,
    ],
  ]
  for (const [route, sent, status, pattern] of cases) {
    const [got, body] = await postJson(route, sent)
    assert.equal(got, status, JSON.stringify(body))
    assert.match(JSON.stringify(body), pattern)
  }
})

test('what the image handler does not use of a file is logged or fails the load', async (t) => {
  writeImageModel(
    'wrong',
    means,
    {},
    {
      'preprocessor_config.json': '{"size": {"height": 4, "width": 4}, "do_thumbnail": true}',
    },
  )
  writeImageModel(
    'preset',
    means,
    { image: { preset: 'vit' } },
    {
      'preprocessor_config.json': '{"do_thumbnail": true}',
    },
  )
  const names = ['wrong', 'preset', 'sizes'].map((name) => path.join(store, name))
  const other = await serve(t, names)
  await other.logged((line) => JSON.stringify(line).includes('does not use \\"patch_size'))
  const [failure, ...more] = await failedModels(other)
  assert.equal(more.length, 0)
  assert.match(
    failure?.reason ?? '',
    /preprocessor_config.json: it sets "do_thumbnail", which is not supported. Or set "image"/,
  )
})
