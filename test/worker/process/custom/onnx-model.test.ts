import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import sharp from 'sharp'
import type { TestModel } from '../../../../types/testing.d.ts'
import { handlerFolder, loadFolder, loadHandler } from '../../../helpers/handler-folder.ts'
import { identityGraph } from '../../../helpers/onnx-builder.ts'
import type { ModelSource } from '../../../helpers/onnx-builder.ts'
import { tinyTextModel } from '../../../helpers/text-models.ts'

const NUMBERS = { a: [1, 2], b: [3, 4] }

/** Answers with what the code, which sees `model` and `body`, returns. Errors become their text. */
function handlerOf(code: string, before = ''): string {
  return `${before}
    const show = (_, value) => ArrayBuffer.isView(value) ? Array.from(value, (one) => typeof one === 'bigint' ? Number(one) : one) : value
    const float = (list) => ({ type: 'float32', dims: [list.length / 2, 2], data: Float32Array.from(list) })
    export async function handle(data, context) {
      if (data === undefined) return
      const { model } = context
      return Promise.all(data.map(async ({ body }) => {
        try { return JSON.parse(JSON.stringify(await (async () => { ${code} })() ?? null, show)) }
        catch (error) { return error.name + ': ' + error.message }
      }))
    }`
}

async function answerOf(model: TestModel, body: unknown): Promise<unknown> {
  const response = await model.predict(body)
  assert.equal(response.status, 200)
  return response.json()
}

test('context.model runs the model, with all outputs or some', async (t) => {
  const run = (names: string): string =>
    `return model.run({ a: float(body.a), b: float(body.b) }${names})`
  const all = await loadHandler(t, handlerOf(run('')))
  const tensor = (data: readonly number[]): object => ({ type: 'float32', dims: [1, 2], data })
  assert.deepEqual(await answerOf(all, NUMBERS), {
    sum: tensor([4, 6]),
    scaled: tensor([10, 20]),
  })
  const one = await loadHandler(t, handlerOf(run(", ['scaled', 'scaled']")))
  assert.deepEqual(await answerOf(one, NUMBERS), { scaled: tensor([10, 20]) })
})

test('context.model describes inputs, outputs and labels', async (t) => {
  const code = handlerOf(
    'const { inputs, outputs, labels } = model; return { inputs, outputs, labels }',
  )
  const shape = ['N', 2]
  const infos = (...names: string[]): object[] =>
    names.map((name) => ({ name, type: 'float32', shape }))
  const expected = { inputs: infos('a', 'b'), outputs: infos('sum', 'scaled') }
  assert.deepEqual(await answerOf(await loadHandler(t, code), 1), { ...expected, labels: [] })
  const folder = handlerFolder(t, {
    'service.mjs': code,
    'model.json': { handler: 'service.mjs', labels: 'labels.txt' },
    'labels.txt': 'left\nright\n',
  })
  const labelled = await loadFolder(t, folder)
  assert.deepEqual(await answerOf(labelled, 1), { ...expected, labels: ['left', 'right'] })
})

test('a wrong tensor is an error that says what the model expects', async (t) => {
  const model = await loadHandler(
    t,
    handlerOf(`
      const right = { a: float([1, 2]), b: float([3, 4]) }
      const wrong = {
        none: undefined,
        list: [],
        missing: { a: right.a },
        unknown: { ...right, c: right.a },
        type: { ...right, b: { ...right.b, type: 'float64' } },
        array: { ...right, b: { ...right.b, data: [3, 4] } },
        rank: { ...right, b: { ...right.b, dims: [2] } },
        size: { ...right, b: { ...right.b, dims: [1, 3] } },
        negative: { ...right, b: { ...right.b, dims: [-1, 2] } },
        count: { ...right, b: { ...right.b, dims: [2, 2] } },
        number: { ...right, b: 7 },
        batch: { ...right, b: float([1, 2, 3, 4]) },
      }
      return model.run(body === 'output' ? right : wrong[body], body === 'output' ? ['total'] : undefined)`),
  )
  const inputs = 'the model has 2 inputs: "a" float32 [N,2], "b" float32 [N,2].'
  const b = 'TypeError: Input "b": expected float32 [N,2], got'
  const expected: Readonly<Record<string, string>> = {
    none: `TypeError: The inputs must be an object of tensors by name; ${inputs}`,
    list: `TypeError: The inputs must be an object of tensors by name; ${inputs}`,
    missing: `TypeError: The input "b" is missing; ${inputs}`,
    unknown: `TypeError: Unknown input "c"; ${inputs}`,
    type: `${b} the type "float64".`,
    array: `${b} data that is no Float32Array.`,
    rank: `${b} dims [2].`,
    size: `${b} dims [1,3].`,
    negative: `${b} dims that are no list of sizes.`,
    count: `${b} 2 elements in data, but dims [2,2] need 4.`,
    number: `${b} no tensor: it must be an object with type, dims and data.`,
    batch: 'TypeError: Inputs "a" and "b" differ in dimension "N": 1 and 2.',
    output:
      'TypeError: Unknown output "total"; the model has 2 outputs: "sum" float32 [N,2], "scaled" float32 [N,2].',
  }
  for (const [name, text] of Object.entries(expected)) {
    const response = await model.predict(name)
    assert.equal(await response.text(), text, name)
  }
})

test('every datatype passes through a run', async (t) => {
  const types = [
    ['FP32', 'float32', 'Float32Array', [0.5, -1]],
    ['FP64', 'float64', 'Float64Array', [0.25, -1]],
    ['FP16', 'float16', 'Uint16Array', [15_360, 1]],
    ['INT8', 'int8', 'Int8Array', [-128, 127]],
    ['INT16', 'int16', 'Int16Array', [-5, 5]],
    ['INT32', 'int32', 'Int32Array', [-5, 5]],
    ['INT64', 'int64', 'BigInt64Array', [-5, 5]],
    ['UINT8', 'uint8', 'Uint8Array', [0, 255]],
    ['UINT16', 'uint16', 'Uint16Array', [0, 65_535]],
    ['UINT32', 'uint32', 'Uint32Array', [0, 5]],
    ['UINT64', 'uint64', 'BigUint64Array', [0, 5]],
    ['BOOL', 'bool', 'Uint8Array', [0, 1]],
  ] as const
  const source: ModelSource = identityGraph(...types.map(([type]) => ({ type, shape: ['n'] })))
  const code = handlerOf(`
    const inputs = {}
    for (const [name, [type, array, values]] of Object.entries(body)) {
      const list = array.startsWith('Big') ? values.map(BigInt) : values
      inputs[name] = { type, dims: [values.length], data: globalThis[array].from(list) }
    }
    const outputs = await model.run(inputs)
    return Object.values(outputs).map(({ type, data }) => [type, data.constructor.name, data])`)
  const model = await loadHandler(t, code, {}, source)
  const body = Object.fromEntries(
    types.map(([, ...rest], index) => [`x${index}`, [rest[0], rest[1], rest[2]]]),
  )
  assert.deepEqual(
    await answerOf(model, body),
    types.map(([, type, array, values]) => [type, array, values]),
  )
  const texts = await loadHandler(
    t,
    handlerOf("return model.run({ x: { type: 'string', dims: [2], data: ['a\\0b', 'é'] } })"),
    {},
    identityGraph({ type: 'BYTES', shape: ['n'] }),
  )
  const y = { type: 'string', dims: [2], data: ['a\0b', 'é'] }
  assert.deepEqual(await answerOf(texts, 1), { y })
})

test('onnxruntime-node is imported from onnxd unless the folder has its own', async (t) => {
  const code = handlerOf(
    'return (await model.run({ a: new ort.Tensor("float32", body.a, [1, 2]), b: new ort.Tensor("float32", body.b, [1, 2]) }, ["sum"])).sum.data',
    "import * as ort from 'onnxruntime-node'",
  )
  assert.deepEqual(await answerOf(await loadHandler(t, code), NUMBERS), [4, 6])
  const own = "import { name } from 'onnxruntime-node'"
  const folder = handlerFolder(t, {
    'service.mjs': handlerOf('return name', own),
    'node_modules/onnxruntime-node/package.json': { exports: './index.mjs' },
    'node_modules/onnxruntime-node/index.mjs': "export const name = 'own copy'",
  })
  const model = await loadFolder(t, folder, { handler: 'service.mjs' })
  assert.equal(await (await model.predict(1)).text(), 'own copy')
})

test('sharp is imported from onnxd', async (t) => {
  const code =
    "return [typeof sharp, (await sharp({ create: { width: 2, height: 3, channels: 3, background: 'red' } }).png().metadata()).width]"
  const model = await loadHandler(t, handlerOf(code, "import sharp from 'sharp'"))
  assert.deepEqual(await answerOf(model, NUMBERS), ['function', 2])
})

test('a CommonJS handler requires onnxruntime-node from onnxd', async (t) => {
  const folder = handlerFolder(t, {
    'service.cjs': `const { Tensor } = require('onnxruntime-node')
      exports.handle = async (data, { model }) => data && Promise.all(data.map(async ({ body }) => {
        const pair = (list) => new Tensor('float32', list, [1, 2])
        return [...(await model.run({ a: pair(body.a), b: pair(body.b) })).scaled.data]
      }))`,
  })
  const model = await loadFolder(t, folder, { handler: 'service.cjs:handle' })
  assert.deepEqual(await answerOf(model, NUMBERS), [10, 20])
})

test('without a model, context.model says why; model.json can switch it off', async (t) => {
  const code = handlerOf('return context.model').replace('const { model } = context', '')
  const expected = /^Error: There is no context\.model: the folder has no model\.onnx/
  const folder = handlerFolder(t, {
    'service.mjs': code,
    'model.json': { handler: 'service.mjs', handlerModel: false },
    'broken.onnx': 'not a model',
  })
  const off = await loadFolder(t, folder)
  assert.match(await (await off.predict(1)).text(), expected)
  const bare = handlerFolder(t, { 'service.mjs': code })
  writeFileSync(path.join(bare, 'second.onnx'), '')
  const named = await loadFolder(t, bare, { handler: 'service.mjs' })
  assert.equal((await named.predict(1)).status, 200)
})

test('a damaged model fails the load and says how to go on', async (t) => {
  const folder = handlerFolder(t, { 'service.mjs': handlerOf('return 1') })
  writeFileSync(path.join(folder, 'model.onnx'), '<html>')
  await assert.rejects(loadFolder(t, folder, { handler: 'service.mjs' }), {
    name: 'InvalidModelException',
    message:
      '"model.onnx" cannot be loaded for the handler: The .onnx file is an HTML or XML page, not an ONNX model. Set "handlerModel": false in model.json if the handler does not use it.',
  })
})

test('tokenize and readTable turn requests into inputs', async (t) => {
  const table = await loadHandler(
    t,
    handlerOf("return model.readTable(body, 'text/csv')"),
    {},
    {
      ...identityGraph({ type: 'FP32', shape: ['N', 1] }, { type: 'INT64', shape: ['N', 1] }),
    },
  )
  assert.deepEqual(await answerOf(table, 'x0,x1\n0.5,3\n1,4\n'), {
    x0: { type: 'float32', dims: [2, 1], data: [0.5, 1] },
    x1: { type: 'int64', dims: [2, 1], data: [3, 4] },
  })
  const folder = textFolder(t, handlerOf('return model.tokenize(body, { truncate: true })'))
  const texts = await loadFolder(t, folder, { handler: 'service.mjs' })
  const inputs = (await answerOf(texts, ['the cat', 'a dog sat'])) as Record<string, Tensor>
  assert.deepEqual(Object.keys(inputs), ['input_ids', 'attention_mask', 'token_type_ids'])
  assert.deepEqual(inputs['input_ids']?.dims, [2, 5])
  assert.deepEqual(inputs['attention_mask']?.data, [1, 1, 1, 1, 0, 1, 1, 1, 1, 1])
  const none = await loadHandler(t, handlerOf('return model.tokenize(body)'))
  const answer = await (await none.predict('text')).text()
  assert.equal(answer, "TypeError: The model's folder has no tokenizer.json.")
})

interface Tensor {
  readonly dims: readonly number[]
  readonly data: readonly number[]
}

function textFolder(t: TestContext, code: string): string {
  const folder = tinyTextModel(t, 'texts', {
    suffix: 'ForSequenceClassification',
    labels: ['bad', 'good'],
    graph: 'pooled',
    width: 2,
  })
  writeFileSync(path.join(folder, 'service.mjs'), code)
  return folder
}

test('placeImages says where each image lies in the input', async (t) => {
  const image = (width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background: '#ff0000' } })
  const wide = await image(200, 100).png().toBuffer()
  const turned = await image(100, 200).withMetadata({ orientation: 6 }).jpeg().toBuffer()
  const code = `
    const { inputs, places } = await model.placeImages(body.files.map((file) => Buffer.from(file, 'base64')))
    return { places, dims: inputs.x.dims, same: (await model.prepareImages(Buffer.from(body.files[0], 'base64'))).x.dims }`
  const body = { files: [wide, turned].map((file) => file.toString('base64')) }
  const place = (scale: number, x: number, y: number): object => {
    return { width: 200, height: 100, scale: [scale, scale], offset: [x, y] }
  }
  for (const [settings, expected] of [
    [{ fit: 'contain' }, place(4, 0, -48)],
    [{ fit: 'contain', padPosition: 'top-left' }, place(4, 0, 0)],
    [{ fit: 'cover' }, place(2, 50, 0)],
    [{ fit: 'fill' }, { width: 200, height: 100, scale: [4, 2], offset: [0, 0] }],
  ] as const) {
    const graph = identityGraph({ type: 'FP32', shape: ['N', 3, 50, 50] })
    const files = { 'service.mjs': handlerOf(code), 'model.json': { image: settings } }
    const model = await loadFolder(t, handlerFolder(t, files, graph), { handler: 'service.mjs' })
    assert.deepEqual(
      await answerOf(model, body),
      { places: [expected, expected], dims: [2, 3, 50, 50], same: [1, 3, 50, 50] },
      JSON.stringify(settings),
    )
  }
})
