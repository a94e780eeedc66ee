import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import sharp from 'sharp'
import { readModelFiles } from '../../../../../src/model-folder/files.ts'
import type { ModelSettings } from '../../../../../src/model-folder/settings.ts'
import { DEFAULT_WORKER_OPTIONS } from '../../../../../src/worker/process/handler.ts'
import { planClasses, rankClasses } from '../../../../../src/worker/process/onnx/image/classes.ts'
import { createImageCodecs } from '../../../../../src/worker/process/onnx/image/codec.ts'
import { InstancesCodec } from '../../../../../src/worker/process/onnx/kserve-v1/codec.ts'
import { readLabels } from '../../../../../src/worker/process/onnx/labels/labels.ts'
import { ProtocolCodec } from '../../../../../src/worker/process/onnx/oip/codec.ts'
import type {
  ModelMetadata,
  TensorSpec,
} from '../../../../../src/worker/process/onnx/tensors/metadata.ts'
import type { WirePrediction, WireRequest } from '../../../../../src/worker/wire/messages.ts'
import { failsWith, load, parameter, request, spec } from '../../../../helpers/pictures.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'
import { sharedPath, testShared } from '../../../../helpers/shared.ts'

const digits = path.resolve('examples/digits')
const samples = path.join(digits, 'samples')

const emptyMetadata: ModelMetadata = {
  name: 'm',
  handler: 'image',
  version: '1.0',
  runtime: { name: 'onnxruntime', version: '' },
  providers: [],
  batchable: false,
  maxBatchSize: 0,
  inputs: [],
  outputs: [],
}

test('labels are read from lines, lists and both forms of index_to_name.json', async (t) => {
  const folder = temporaryFolder(t)
  const read = (name: string, text?: string): Promise<readonly string[] | undefined> => {
    if (text !== undefined) writeFileSync(path.join(folder, name), text)
    const settings = { labels: name }
    return readLabels({
      folder,
      onnxFile: undefined,
      settings,
      settingsFolder: folder,
      manifest: undefined,
    })
  }
  const wanted = ['cat', 'big dog']
  assert.deepEqual(await read('lines.txt', 'cat\nbig dog\n'), wanted)
  assert.deepEqual(await read('windows.txt', '\uFEFFcat\r\nbig dog\r\n\r\n'), wanted)
  assert.deepEqual(await read('list.json', '["cat", "big dog"]'), wanted)
  assert.deepEqual(await read('names.json', '{"1": "big dog", "0": "cat"}'), wanted)
  assert.deepEqual(await read('ids.json', '{"0": ["n01", "cat"], "1": ["n02", "big dog"]}'), wanted)
  const refused: [string, string | undefined, RegExp][] = [
    ['absent.txt', undefined, /cannot be read/],
    ['../lines.txt', undefined, /points outside/],
    ['/etc/passwd', undefined, /points outside/],
    ['gap.json', '{"0": "cat", "2": "dog"}', /the class numbers 0 to 1/],
    ['number.json', '[1]', /no label for class "0"/],
    ['broken.json', '{', /is not JSON/],
    ['null.json', 'null', /neither a list nor an object/],
  ]
  for (const [name, text, pattern] of refused) {
    await assert.rejects(read(name, text), failsWith('InvalidModelException', pattern), name)
  }
})

test('the best classes come first, with labels, softmax and as many as wanted', () => {
  const outputs = [spec([-1, 4], 'FP32', 'scores')]
  const scores = {
    datatype: 'FP32',
    shape: [2, 4],
    data: Float32Array.of(0.1, 0.7, 0.1, Number.NaN, 0, 0, 0, 9),
  } as const
  const planned = (settings: ModelSettings, labels?: readonly string[]) => {
    const plan = planClasses(outputs, settings, labels)
    assert.ok(plan !== undefined)
    return plan
  }
  assert.deepEqual(rankClasses(scores, planned({ topK: 2 }, ['a', 'b', 'c', 'd'])), [
    [
      { class: 'b', index: 1, probability: 0.7 },
      { class: 'a', index: 0, probability: 0.1 },
    ],
    [
      { class: 'd', index: 3, probability: 9 },
      { class: 'a', index: 0, probability: 0 },
    ],
  ])
  const [first = []] = rankClasses(scores, planned({}))
  assert.deepEqual(
    first.map(({ class: label }) => label),
    ['1', '0', '2', '3'],
  )
  const logits = {
    datatype: 'FP64',
    shape: [1, 4],
    data: Float64Array.of(1000, 999, 0, 0),
  } as const
  const [[best, next] = []] = rankClasses(logits, planned({ softmax: true }))
  assert.deepEqual([best?.probability, next?.probability], [0.7310586, 0.26894143])
  const more = { ...logits, shape: [1, 2, 2] } as const
  assert.throws(
    () => rankClasses(more, planned({})),
    failsWith(
      'InternalServerException',
      /class scores of shape \[1,2,2\]; they must be \[N,classes\]/,
    ),
  )
  const halves = {
    datatype: 'FP16',
    shape: [1, 4],
    data: Uint16Array.of(0x3c00, 0x4000, 0, 0xc000),
  } as const
  const [ranked = []] = rankClasses(halves, planned({}))
  assert.deepEqual(
    ranked.map(({ probability }) => probability),
    [2, 1, 0, -2],
  )
  assert.equal(
    rankClasses(
      { datatype: 'FP32', shape: [1, 4, 1, 1], data: new Float32Array(4) },
      planned({}),
    )[0]?.length,
    4,
  )
})

test('only a single float output of two dimensions makes a classifier, unless the settings name one', () => {
  const classes = (
    outputs: readonly TensorSpec[],
    settings: ModelSettings = {},
    labels: readonly string[] = [],
  ) => planClasses(outputs, settings, labels)?.output
  const label = spec([-1], 'INT64', 'label')
  assert.equal(classes([label, spec([-1, 9], 'FP32', 'a')]), 'a')
  assert.equal(classes([spec([1, 9, 1, 1], 'FP16', 'a')]), 'a')
  assert.equal(classes([spec([-1, -1], 'FP32', 'a')], {}, ['x']), 'a')
  assert.equal(classes([spec([1, 9], 'FP32', 'a'), spec([1, 4], 'FP32', 'b')]), undefined)
  assert.equal(
    classes([spec([1, 9], 'FP32', 'a'), spec([1, 4], 'FP32', 'b')], { output: 'b' }),
    'b',
  )
  for (const shape of [[], [9], [1, 1], [1, 9, 2], [1, 4420, 4]])
    assert.equal(classes([spec(shape)]), undefined)
  const refused: [readonly TensorSpec[], ModelSettings, readonly string[], RegExp][] = [
    [[label], { output: 'scores' }, [], /names output "scores"; the model has "label" INT64/],
    [[label], { output: 'label' }, [], /cannot be used as class scores/],
    [[spec([1, 9])], {}, ['a', 'b'], /2 labels, but output "image" has 9 classes/],
  ]
  for (const [outputs, settings, labels, pattern] of refused) {
    assert.throws(
      () => planClasses(outputs, settings, labels),
      failsWith('InvalidModelException', pattern),
    )
  }
})

/** A folder with a copy of the network and these settings, and the labels they name. */
function imageModel(t: TestContext, network: string, settings: ModelSettings): string {
  const folder = temporaryFolder(t)
  copyFileSync(network, path.join(folder, 'model.onnx'))
  const whole = { handler: 'image', ...settings }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(whole))
  if (settings.labels !== undefined) {
    const labels = sharedPath('images', settings.labels)
    copyFileSync(labels, path.join(folder, settings.labels))
  }
  return folder
}

function pictureRequest(file: string): WireRequest {
  return request(parameter(readFileSync(file)))
}

interface Answer {
  readonly class: string
  readonly index: number
  readonly probability: number
}

function classesOf(answer: WirePrediction): readonly Answer[] {
  assert.deepEqual([answer.status, answer.contentType], [200, 'application/json'])
  return JSON.parse(answer.body.toString())
}

test('digits are recognised dark on light, larger and in another format too', async (t) => {
  const { ask } = await load(t, digits)
  for (let digit = 0; digit < 10; digit++) {
    const light = sharp(readFileSync(path.join(samples, `${digit}.png`))).resize(300, 300)
    const paper = await light.negate().toColourspace('srgb').jpeg({ quality: 80 }).toBuffer()
    const [best] = classesOf(await ask(request(parameter(paper))))
    assert.equal(best?.index, digit)
  }
})

test('a broken image in a batch fails alone', async (t) => {
  const { predict } = await load(t, digits)
  const files = [3, 5, 8].map((digit) => readFileSync(path.join(samples, `${digit}.png`)))
  const bodies = [...files, Buffer.from(files[0]?.subarray(0, 99) ?? [])]
  const predictions = await predict(
    bodies.map((body, index) => ({ ...request(parameter(body)), id: `r${index}` })),
  )
  assert.deepEqual(
    predictions.map(({ id, status }) => [id, status]),
    [
      ['r0', 200],
      ['r1', 200],
      ['r2', 200],
      ['r3', 400],
    ],
  )
  const best = predictions.slice(0, 3).map((prediction) => classesOf(prediction)[0]?.index)
  assert.deepEqual(best, [3, 5, 8])
})

test('the response to one image is a list of classes, to several a list of such lists', async (t) => {
  const { ask } = await load(t, digits)
  const one = (await ask(pictureRequest(path.join(samples, '7.png')))).body.toString()
  const start = '[\n  {\n    "class": "7",\n    "index": 7,\n    "probability": 0.99'
  assert.equal(one.slice(0, start.length), start)
  assert.ok(one.endsWith('\n  }\n]\n'))
  assert.equal(JSON.parse(one).length, 3)

  const [four, two] = [4, 2].map((digit) => readFileSync(path.join(samples, `${digit}.png`)))
  assert.ok(four !== undefined && two !== undefined)
  const several = await ask(request(parameter(four, 'image/png', 'a'), parameter(two, '', 'b')))
  const lists: Answer[][] = JSON.parse(several.body.toString())
  const best = lists.map(([first]) => first?.class)
  assert.deepEqual(best, ['4', '2'])
})

test('the default codec handles tensors for a model with the image handler, and responses in raw bytes', async (t) => {
  const { ask } = await load(t, digits)
  const row = [0, 0, 0, 0, 0, 0, 0, 0]
  const tensor = JSON.stringify({ image: [[[row, row, row, row, row, row, row, row]]] })
  const asJson = await ask(request(parameter(Buffer.from(tensor), 'application/json')))
  assert.deepEqual(Object.keys(JSON.parse(asJson.body.toString())), ['probabilities'])

  const headers = [['Accept', 'application/octet-stream']] as const
  const raw = await ask({ ...pictureRequest(path.join(samples, '3.png')), headers })
  assert.equal(raw.contentType, 'application/octet-stream')
  assert.equal(raw.body.length, 10 * Float32Array.BYTES_PER_ELEMENT)
  assert.ok(raw.body.readFloatLE(3 * Float32Array.BYTES_PER_ELEMENT) > 0.9)

  const text = request(parameter(Buffer.from('hello'), 'text/html'))
  assert.equal((await ask(text)).status, 415)
  const broken = await ask(request(parameter(Buffer.from('hello'), 'image/png')))
  assert.equal(broken.status, 400)
  assert.equal(JSON.parse(broken.body.toString()).type, 'InvalidInputException')
})

test('a model that does not suit the image handler is refused when it is loaded', async (t) => {
  const refused: [string, ModelSettings, RegExp][] = [
    ['digits', { image: { width: 9 } }, /sets width to 9/],
    ['digits', { output: 'scores' }, /names output "scores"/],
    ['iris', {}, /the shape must be \[N,C,H,W\]/],
  ]
  for (const [example, settings, pattern] of refused) {
    const network = path.resolve('examples', example, 'model.onnx')
    const loading = load(t, imageModel(t, network, settings))
    await assert.rejects(loading, (error: Error) => {
      assert.match(error.message, /^400 /)
      assert.match(error.message, pattern)
      return true
    })
  }
  const folder = imageModel(t, path.join(digits, 'model.onnx'), {})
  writeFileSync(path.join(folder, 'model.json'), '{"handler": "image", "labels": "labels.txt"}')
  writeFileSync(path.join(folder, 'labels.txt'), 'zero\none\n')
  await assert.rejects(load(t, folder), /400 .*2 labels, but output "probabilities" has 10 classes/)
  const [image, size] = [spec([-1, 3, 8, 8]), spec([1], 'INT64', 'size')]
  for (const inputs of [[], [image, size]]) {
    const metadata = { ...emptyMetadata, inputs }
    const files = await readModelFiles(digits)
    const creating = createImageCodecs(metadata, files, DEFAULT_WORKER_OPTIONS, {
      v1: new InstancesCodec(metadata, DEFAULT_WORKER_OPTIONS, () => true),
      v2: new ProtocolCodec(metadata, DEFAULT_WORKER_OPTIONS),
    })
    await assert.rejects(
      creating,
      failsWith('InvalidModelException', /needs a model with one input; the model has/),
    )
  }
})

testShared('MNIST digits are recognised by a model for values from 0 to 255', {}, async (t) => {
  const network = sharedPath('models/mnist.onnx')
  const settings = { softmax: true, topK: 1, image: { scale: 1 } }
  const { ask } = await load(t, imageModel(t, network, settings))
  for (let digit = 0; digit < 10; digit++) {
    const file = sharedPath('images/mnist', `${digit}.png`)
    const answer = classesOf(await ask(pictureRequest(file)))
    assert.deepEqual([answer.length, answer[0]?.index], [1, digit])
    assert.ok(Number(answer[0]?.probability) > 0.9)
  }
})

testShared('a photograph goes through ImageNet models', {}, async (t) => {
  const settings: ModelSettings = {
    labels: 'imagenet_index_to_name.json',
    image: { fit: 'cover', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  }
  // Their weights are constant, so all classes are equal and the first five are the best five.
  const labels = ['tench', 'goldfish', 'great_white_shark', 'tiger_shark', 'hammerhead']
  const wanted = labels.map((label, index) => ({ class: label, index, probability: 0.001 }))
  const photograph = pictureRequest(sharedPath('images/kitten.jpg'))
  for (const name of ['light_squeezenet', 'light_squeezenet_n', 'light_resnet50']) {
    const network = sharedPath('models', `${name}.onnx`)
    const { ask } = await load(t, imageModel(t, network, settings))
    assert.deepEqual(classesOf(await ask(photograph)), wanted, name)
  }
})

testShared('a detector finds faces and responds by output name', {}, async (t) => {
  const network = sharedPath('models/ultraface-rfb-320.onnx')
  const { ask } = await load(
    t,
    imageModel(t, network, { image: { scale: 1, mean: [127], std: [128] } }),
  )
  const answer = await ask(pictureRequest(sharedPath('images/persons.jpg')))
  const outputs: Record<'scores' | 'boxes', number[][][]> = JSON.parse(answer.body.toString())
  assert.deepEqual(Object.keys(outputs), ['scores', 'boxes'])
  const scores = outputs.scores[0] ?? []
  const faces = (outputs.boxes[0] ?? []).filter((_, index) => Number(scores[index]?.[1]) > 0.7)
  assert.ok(faces.length > 0)
  for (const [left = 0, top = 0, right = 0, bottom = 0] of faces) {
    assert.ok(0 <= left && left < right && right <= 1 && 0 <= top && top < bottom && bottom <= 1)
  }
})
