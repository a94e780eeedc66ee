/** Requests in company get what they get alone, through the whole server. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import sharp from 'sharp'
import { oneProcess } from '../helpers/http-processes.ts'
import { floats, node, writeModel } from '../helpers/onnx-builder.ts'
import type { ModelSource, ValueSource } from '../helpers/onnx-builder.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer, unregisterAll } from '../helpers/shared-server.ts'
import { sharedPath, testShared } from '../helpers/shared.ts'
import type { DefineTest } from '../helpers/shared.ts'

type Description = {
  readonly metadata: { readonly batching: { readonly joins: boolean; readonly reason: string } }
  readonly settings: { readonly joinBatches: unknown }
}

const COMPANY = 'batch_size=16&max_batch_delay=200'

const value = (
  name: string,
  shape: ValueSource['shape'],
  type: ValueSource['type'] = 'FP32',
): ValueSource => ({ name, type, ...(shape && { shape }) })

/** Images and texts, and how alike each image is to each text. */
const CLIP: ModelSource = {
  nodes: [
    node('Identity', ['image'], 'image_embeds'),
    node('Identity', ['text'], 'text_embeds'),
    node('Transpose', ['text'], 'turned', { perm: [1, 0] }),
    node('MatMul', ['image', 'turned'], 'logits_per_image'),
  ],
  inputs: [value('image', ['image_batch', 2]), value('text', ['text_batch', 2])],
  outputs: [
    value('logits_per_image', ['image_batch', 'text_batch']),
    value('image_embeds', ['image_batch', 2]),
    value('text_embeds', ['text_batch', 2]),
  ],
}

/** A product with weights of 8 bits, the scale of the input taken from all of it. */
const DYNAMIC: ModelSource = {
  nodes: [
    node('DynamicQuantizeLinear', ['x'], ['q', 'scale', 'zero']),
    node('MatMulInteger', ['q', 'w', 'zero'], 'product'),
    node('Cast', ['product'], 'whole', { to: 1 }),
    node('Mul', ['whole', 'scale'], 'y'),
  ],
  constants: {
    w: { type: 'INT8', shape: [4, 3], values: [1, -7, 3, 5, 9, -2, 4, -6, 8, -3, 2, 1] },
  },
  inputs: [value('x', ['N', 4])],
  outputs: [value('y', ['N', 3])],
}

/** Two large columns and two scores, which are over the whole batch. */
const MIXED_SCALE: ModelSource = {
  nodes: [
    node('Softmax', ['x'], 'p', { axis: 0 }),
    node('Mul', ['x', 'million'], 'large'),
    node('Concat', ['large', 'p'], 'y', { axis: 1 }),
  ],
  constants: { million: floats([], [1e6]) },
  inputs: [value('x', ['N', 2])],
  outputs: [value('y', ['N', 4])],
}

/** An image to two scores, and how alike the images of a batch are. */
const ALIKE: ModelSource = {
  nodes: [
    node('Flatten', ['image'], 'flat'),
    node('MatMul', ['flat', 'w'], 'scores'),
    node('Transpose', ['scores'], 'turned', { perm: [1, 0] }),
    node('MatMul', ['scores', 'turned'], 'alike'),
  ],
  constants: {
    w: floats(
      [16, 2],
      Array.from({ length: 32 }, (_, index) => (index % 5) / 5),
    ),
  },
  inputs: [value('image', ['N', 1, 4, 4])],
  outputs: [value('scores', ['N', 2]), value('alike', ['N', 'M'])],
}

const PROVED: ModelSource = {
  nodes: [node('Relu', ['x'], 'y')],
  inputs: [value('x', ['N', 2])],
  outputs: [value('y', ['N', 2])],
}

/** Registers a model; its folder is `model`, or one that is written. */
async function register(
  t: TestContext,
  server: TestServer,
  model: ModelSource | string,
  query = COMPANY,
  name = 'm',
): Promise<void> {
  const folder = typeof model === 'string' ? model : modelFolder(t, model)
  const answer = await server.manage(
    `/models?url=${encodeURIComponent(folder)}&model_name=${name}&${query}`,
    { method: 'POST' },
  )
  assert.equal(answer.status, 200, await answer.text())
}

function modelFolder(t: TestContext, model: ModelSource, settings?: unknown): string {
  const folder = path.join(temporaryFolder(t), 'model')
  mkdirSync(folder)
  writeModel(path.join(folder, 'model.onnx'), model)
  if (settings !== undefined)
    writeFileSync(path.join(folder, 'model.json'), JSON.stringify(settings))
  return folder
}

async function describe(server: TestServer, name = 'm'): Promise<Description> {
  return (await json(await server.manage(`/models/${name}`))) as Description
}

interface Output {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: readonly number[]
}

/** Outputs of a v2 request. */
async function infer(
  server: TestServer,
  inputs: Readonly<Record<string, readonly (readonly number[])[]>>,
  outputs: readonly string[] = [],
): Promise<readonly Output[]> {
  const body = {
    inputs: Object.entries(inputs).map(([name, rows]) => ({
      name,
      datatype: 'FP32',
      shape: [rows.length, rows[0]?.length ?? 0],
      data: rows.flat(),
    })),
    ...(outputs.length > 0 && { outputs: outputs.map((name) => ({ name })) }),
  }
  const init = { method: 'POST', body: JSON.stringify(body) }
  const answer = await server.fetch('/v2/models/m/infer', init)
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  return JSON.parse(text).outputs as readonly Output[]
}

/** The same by the other dialects, each response as text. */
async function ask(server: TestServer, route: string, body: unknown): Promise<string> {
  const headers = { 'Content-Type': 'application/json' }
  const answer = await server.fetch(route, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  return text
}

function assertClose(actual: readonly number[] = [], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length)
  for (const [index, one] of actual.entries()) {
    assert.ok(
      Math.abs(one - (expected[index] ?? 0)) < 1e-4,
      `${actual.join()} for ${expected.join()}`,
    )
  }
}

/** The server of this file, without models. */
async function open(t: TestContext): Promise<TestServer> {
  const server = await sharedServer([], { allowLocalPaths: true })
  t.after(() => unregisterAll(server))
  return server
}

const testOwn: DefineTest = test

for (const [kind, model, define] of [
  ['own', CLIP, testOwn],
  ['shared', sharedPath('cases/models/clip'), testShared],
] as const) {
  define(
    `A1: whatever was asked for first, scores are against one's own texts (${kind})`,
    {},
    async (t) => {
      const server = await open(t)
      await register(t, server, model)
      const embed = { image: [[1, 2]], text: [[3, 4]] }
      await Promise.all([1, 2].map(() => infer(server, embed, ['image_embeds'])))
      const requests = [
        { image: [[1, 2]], text: [[3, 4]], logit: 11 },
        { image: [[5, 6]], text: [[7, 8]], logit: 83 },
        { image: [[0, 1]], text: [[9, -1]], logit: -1 },
      ]
      const answers = await Promise.all(
        requests.map(({ image, text }) => infer(server, { image, text }, ['logits_per_image'])),
      )
      for (const [index, [logits]] of answers.entries()) {
        assert.deepEqual(logits?.shape, [1, 1])
        assertClose(logits?.data, [requests[index]?.logit ?? 0])
      }
      const { batching } = (await describe(server)).metadata
      assert.equal(batching.joins, false)
      assert.match(
        batching.reason,
        /^Operator MatMul .* multiplies each request with all others\.$/,
      )
    },
  )
}

test('A1: an image handler that asks first for scores settles nothing for /v2', async (t) => {
  const server = await open(t)
  const folder = modelFolder(t, ALIKE, { handler: 'image', output: 'scores' })
  await register(t, server, folder)
  const pixels = { create: { width: 4, height: 4, channels: 3, background: '#888' } } as const
  const image = await sharp(pixels).png().toBuffer()
  const pictures = [1, 2, 3].map(() =>
    server.fetch('/predictions/m', {
      method: 'POST',
      headers: { 'Content-Type': 'image/png' },
      body: new Uint8Array(image),
    }),
  )
  for (const answer of await Promise.all(pictures)) assert.equal(answer.status, 200)
  const data = Array.from({ length: 16 }, (_, index) => index / 16)
  const body = {
    inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 4, 4], data }],
    outputs: [{ name: 'alike' }],
  }
  const alone = await ask(server, '/v2/models/m/infer', body)
  assert.deepEqual(JSON.parse(alone).outputs[0].shape, [1, 1])
  const together = await Promise.all([1, 2, 3].map(() => ask(server, '/v2/models/m/infer', body)))
  assert.deepEqual(together, [alone, alone, alone])
})

for (const [kind, model, define] of [
  ['own', DYNAMIC, testOwn],
  ['shared', sharedPath('cases/models/dynquant'), testShared],
] as const) {
  define(`A2: a scale of the whole tensor is that of one request (${kind})`, {}, async (t) => {
    const server = await open(t)
    await register(t, server, model)
    const close = [
      [0, 1, 0.5, 0.25],
      [0, 1, 0.25, 0.75],
    ]
    await Promise.all(close.map((row) => infer(server, { x: [row] })))
    const rows = [
      [0.1, 0.2, 0.3, 0.4],
      [50, 0, 3, 2],
      [0, 90, 1, 1],
    ]
    const alone = []
    for (const row of rows) alone.push((await infer(server, { x: [row] }))[0]?.data ?? [])
    if (kind === 'shared') assertClose(alone[0], [-0.7918, 0.9333, 0.1544])
    const company = await Promise.all(rows.map((row) => infer(server, { x: [row] })))
    for (const [index, [output]] of company.entries()) assertClose(output?.data, alone[index] ?? [])
    for (const [route, key] of [
      ['/predictions/m', 'x'],
      ['/v1/models/m:predict', 'instances'],
    ] as const) {
      const one = []
      for (const row of rows) one.push(await ask(server, route, { [key]: [row] }))
      assert.deepEqual(
        await Promise.all(rows.map((row) => ask(server, route, { [key]: [row] }))),
        one,
      )
    }
    const { batching } = (await describe(server)).metadata
    assert.match(
      batching.reason,
      /^Operator DynamicQuantizeLinear \(node ".*"\) computes its scale from the whole batch\.$/,
    )
  })
}

for (const [kind, model, define] of [
  ['own', MIXED_SCALE, testOwn],
  ['shared', sharedPath('cases/models/mixed_scale'), testShared],
] as const) {
  define(`A3: small columns stay right beside large ones (${kind})`, {}, async (t) => {
    const server = await open(t)
    await register(t, server, model)
    for (let round = 0; round < 2; round++) {
      const rows = [
        [1, 2],
        [2, 3],
        [3, 5],
      ]
      const answers = await Promise.all(rows.map((row) => infer(server, { x: [row] })))
      for (const [index, [output]] of answers.entries()) {
        assert.deepEqual(output?.shape, [1, 4])
        assertClose(output.data.slice(2), [1, 1])
        assertClose(output.data.slice(0, 2), rows[index]?.map((one) => one * 1e6) ?? [])
      }
    }
  })
}

test('joinBatches comes from the registration, else model.json, else the server', async (t) => {
  const stateDir = temporaryFolder(t)
  const settings = { allowLocalPaths: true, joinBatches: 'never', stateDir } as const
  const server = await serve(t, [], settings)
  const never = { joins: false, reason: 'The setting joinBatches is "never".' }
  await register(t, server, PROVED)
  const first = await describe(server)
  assert.deepEqual(first.settings.joinBatches, { value: 'never', from: 'command line' })
  assert.deepEqual(first.metadata.batching, never)

  const folder = modelFolder(t, PROVED, { joinBatches: 'auto' })
  await register(t, server, folder, COMPANY, 'second')
  const second = await describe(server, 'second')
  assert.deepEqual(second.settings.joinBatches, { value: 'auto', from: 'model.json' })
  assert.deepEqual(second.metadata.batching, {
    joins: true,
    reason: 'No operator mixes the requests of a run.',
  })

  await register(t, server, folder, `${COMPANY}&join_batches=always`, 'third')
  const third = { value: 'always', from: 'request' }
  assert.deepEqual((await describe(server, 'third')).settings.joinBatches, third)
  const wrong = await server.manage(`/models?url=${folder}&model_name=w&join_batches=often`, {
    method: 'POST',
  })
  assert.equal(wrong.status, 400)
  await server.close()

  const again = await serve(t, [], settings)
  const restored = await describe(again, 'third')
  assert.deepEqual(restored.settings.joinBatches, third)
  assert.deepEqual(restored.metadata.batching, {
    joins: true,
    reason: 'The setting joinBatches is "always".',
  })
})

test('joinBatches may stand in config.pbtxt, and in the config of a load', async (t) => {
  const store = temporaryFolder(t)
  mkdirSync(path.join(store, 'm', '1'), { recursive: true })
  writeModel(path.join(store, 'm', '1', 'model.onnx'), PROVED)
  const parameters = 'parameters { key: "joinBatches" value { string_value: "never" } }'
  writeFileSync(path.join(store, 'm', 'config.pbtxt'), parameters)
  const server = await serve(t, [], { modelStore: store })
  const shown = async (): Promise<unknown> => (await describe(server)).settings.joinBatches
  assert.deepEqual(await shown(), { value: 'never', from: 'config.pbtxt' })
  const config = JSON.stringify({ parameters: { joinBatches: { string_value: 'always' } } })
  const init = { method: 'POST', body: JSON.stringify({ parameters: { config } }) }
  const loaded = await server.manage('/v2/repository/models/m/load', init)
  assert.equal(loaded.status, 200, await loaded.text())
  assert.deepEqual(await shown(), { value: 'always', from: 'request' })
  assert.equal((await describe(server)).metadata.batching.joins, true)
  const answer = Object(await json(await server.fetch('/v2/models/m/config')))
  assert.deepEqual(answer.parameters, { joinBatches: { string_value: 'always' } })
})

test(
  'joinBatches: always joins what is not proved, never joins nothing',
  { skip: oneProcess('its batches') },
  async (t) => {
    const server = await open(t)
    const rows = [
      [1, 2],
      [1, 2],
      [1, 2],
      [1, 2],
    ]
    const scores = async (): Promise<ReadonlySet<number | undefined>> => {
      const answers = await Promise.all(rows.map((row) => infer(server, { x: [row] })))
      return new Set(answers.map(([output]) => output?.data[2]))
    }
    await register(t, server, MIXED_SCALE, `${COMPANY}&join_batches=always`)
    assert.deepEqual([...(await scores())], [0.25], 'a softmax over four requests')
    assert.equal((await server.manage('/models/m', { method: 'DELETE' })).status, 200)
    await register(t, server, MIXED_SCALE, `${COMPANY}&join_batches=never`)
    assert.deepEqual([...(await scores())], [1])
  },
)
