/** Image models with a task, as clients use them. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import sharp from 'sharp'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { needsShared, sharedPath } from '../helpers/shared.ts'
import { visionModels } from '../helpers/vision-models.ts'

const cleanups: (() => unknown)[] = []
after(async () => {
  for (const run of cleanups.toReversed()) await run()
})
const folder = temporaryFolder({ after: (run) => cleanups.push(run as () => unknown) })
const models = visionModels(folder)

interface Detection {
  readonly class: string
  readonly index: number
  readonly score: number
  readonly box: readonly number[]
}

function server(): Promise<TestServer> {
  return sharedServer(Object.values(models), { allowLocalPaths: true })
}

/** A PNG of grey pixels, row by row. */
function greyImage(width: number, values: readonly number[]): Promise<Buffer> {
  const raw = { width, height: values.length / width, channels: 1 } as const
  return sharp(Buffer.from(values), { raw }).png().toBuffer()
}

async function ask(
  name: string,
  body: Buffer | Blob | FormData,
  accept = 'application/json',
): Promise<{ status: number; type: string | null; body: Buffer }> {
  const { fetch: send } = await server()
  const response = await send(`/predictions/${name}`, { method: 'POST', body, headers: { accept } })
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    body: Buffer.from(await response.arrayBuffer()),
  }
}

async function detections(name: string, image: Buffer): Promise<readonly Detection[]> {
  const { status, type, body } = await ask(name, image)
  assert.deepEqual([status, type], [200, 'application/json'], body.toString())
  return JSON.parse(body.toString())
}

const plain = (width: number, height: number): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background: '#456' } })
    .png()
    .toBuffer()

test('a detector responds with boxes in pixels of the image that was sent', async () => {
  const found = await detections('ssd', await plain(200, 100))
  assert.deepEqual(found, [
    { class: 'cat', index: 0, score: 0.9, box: [20, 20, 100, 60] },
    { class: 'dog', index: 1, score: 0.8, box: [20, 20, 100, 60] },
    { class: 'dog', index: 1, score: 0.7, box: [160, 50, 200, 100] },
  ])
  const yolo = await detections('yolo', await plain(20, 20))
  assert.deepEqual(yolo, [{ class: 'cat', index: 0, score: 0.9, box: [2, 2, 10, 6] }])
})

test('boxes are those of the upright image', async () => {
  const rotated = await sharp(await plain(200, 100))
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer()
  const [best] = await detections('ssd', rotated)
  assert.deepEqual(best?.box, [10, 40, 50, 120])
})

test('each image of a form gets its own detections, and requests share runs', async () => {
  // Two detections of a box, a score and a class are the pixels of an image of 6×2 pixels.
  const [one, other] = [
    await greyImage(6, [1, 0, 3, 2, 64, 1, 0, 0, 6, 2, 0, 0]),
    await greyImage(6, [0, 0, 6, 2, 48, 0, 2, 1, 4, 2, 64, 1]),
  ]
  const wanted = [
    [{ class: 'dog', index: 1, score: 1, box: [1, 0, 3, 2] }],
    [
      { class: 'dog', index: 1, score: 1, box: [2, 1, 4, 2] },
      { class: 'cat', index: 0, score: 0.75, box: [0, 0, 6, 2] },
    ],
  ]
  const form = new FormData()
  form.set('a', new Blob([one]), 'a.png')
  form.set('b', new Blob([other]), 'b.png')
  const { status, body } = await ask('pixels', form)
  assert.equal(status, 200, body.toString())
  assert.deepEqual(JSON.parse(body.toString()), wanted)

  const single = await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      detections('pixels', (index % 2 === 0 ? one : other) ?? Buffer.alloc(0)),
    ),
  )
  for (const [index, found] of single.entries()) assert.deepEqual(found, wanted[index % 2])
})

test('a detector draws its boxes on the image if the client accepts images', async () => {
  const image = await plain(200, 100)
  for (const [accept, type] of [
    ['image/png', 'image/png'],
    ['image/jpeg', 'image/jpeg'],
    ['image/jpg, image/jpeg;q=0.9', 'image/jpeg'],
    ['image/*', 'image/png'],
    ['image/avif,image/webp,image/*,*/*;q=0.8', 'image/png'],
    ['*/*', 'application/json'],
    ['application/json, image/png;q=0.5', 'application/json'],
    ['text/html,*/*;q=0.8', 'application/json'],
  ] as const) {
    const answer = await ask('ssd', image, accept)
    assert.deepEqual([answer.status, answer.type], [200, type], accept)
  }
  const { body } = await ask('ssd', image, 'image/png')
  const { data, info } = await sharp(body).raw().toBuffer({ resolveWithObject: true })
  assert.deepEqual([info.width, info.height], [200, 100])
  const pixel = (x: number, y: number): string =>
    data.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3).toString('hex')
  assert.equal(pixel(60, 50), '445566')
  for (const [x, y] of [
    [20, 40],
    [60, 59],
    [160, 80],
  ] as const) {
    assert.notEqual(pixel(x, y), '445566', `${x},${y}`)
  }
})

test('results are CSV if the client accepts it, with the number of the image in a list', async () => {
  const csv = async (
    name: string,
    body: Buffer | FormData,
    accept = 'text/csv',
  ): Promise<string> => {
    const answer = await ask(name, body, accept)
    assert.deepEqual([answer.status, answer.type], [200, 'text/csv'], answer.body.toString())
    return answer.body.toString()
  }
  const image = await plain(200, 100)
  const found = `label,score,x1,y1,x2,y2
cat,0.9,20,20,100,60
dog,0.8,20,20,100,60
dog,0.7,160,50,200,100
`
  assert.equal(await csv('ssd', image), found)
  assert.equal(await csv('ssd', image, 'application/json;q=0.5, text/csv'), found)
  const dark = await greyImage(8, [0, 0, 0, 0, 0, 0, 0, 0])
  assert.equal(await csv('segments', dark), 'label,pixels,share\nbackground,8,1\n')
  const form = new FormData()
  form.set('a', new Blob([await greyImage(6, [1, 0, 3, 2, 64, 1, 0, 0, 6, 2, 0, 0])]))
  form.set('b', new Blob([await greyImage(6, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]))
  form.set('c', new Blob([await greyImage(6, [0, 0, 6, 2, 48, 0, 2, 1, 4, 2, 64, 1])]))
  assert.equal(
    await csv('pixels', form),
    'image,label,score,x1,y1,x2,y2\n0,dog,1,1,0,3,2\n2,dog,1,2,1,4,2\n2,cat,0.75,0,0,6,2\n',
  )
  const vector = await csv('features', await greyImage(2, [0, 0, 0, 255]))
  assert.equal(vector, 'features_0,features_1,features_2,features_3\n0,0,0,1\n')
})

test('types that a model does not respond with are refused, and the message has the others', async () => {
  const [image, pixels] = [await plain(200, 100), await greyImage(2, [0, 51, 102, 255])]
  for (const [name, body, accept, pattern] of [
    [
      'features',
      pixels,
      'image/png',
      /to images with .*image\/png.*; accept application\/json, text\/csv, app/,
    ],
    ['features', pixels, 'image/avif, image/*;q=0.5', /accept application\/json, text\/csv, app/],
    ['ssd', image, 'image/webp', /accept application\/json, image\/png, image\/jpeg, text\/csv/],
    ['ssd', image, 'application/x-ndjson', /application\/octet-stream or application\/x-npy/],
  ] as const) {
    const answer = await ask(name, body, accept)
    assert.equal(answer.status, 406, accept)
    assert.match(answer.body.toString(), pattern)
  }
  for (const accept of [
    'image/png, */*;q=0.1',
    'image/avif,image/*,*/*;q=0.8',
    'text/csv;q=0, application/json',
    'image/png;q=0',
    'text/html',
  ]) {
    const answer = await ask('features', pixels, accept)
    assert.deepEqual([answer.status, answer.type], [200, 'application/json'], accept)
  }
  const tensors = await ask('ssd', image, 'application/x-npy')
  assert.equal(tensors.status, 406, 'two outputs are no array')
  assert.equal((await ask('features', pixels, 'application/x-npy')).type, 'application/x-npy')
})

test('only one image can be drawn', async () => {
  const form = new FormData()
  const image = await greyImage(
    6,
    Array.from({ length: 12 }, () => 0),
  )
  form.set('a', new Blob([image]))
  form.set('b', new Blob([image]))
  const { status, body } = await ask('pixels', form, 'image/png')
  assert.equal(status, 406)
  assert.match(body.toString(), /one image only, but the request has 2; accept application\/json/)
})

test('a segmenter responds with areas and a mask in the size of the image', async () => {
  // Dark pixels are class 0, light ones class 1.
  const image = await sharp(await greyImage(4, [0, 0, 255, 255, 0, 0, 0, 0]))
    .resize(40, 20, { kernel: 'nearest' })
    .png()
    .toBuffer()
  const { status, body } = await ask('segments', image)
  assert.equal(status, 200, body.toString())
  const answer: { mask: string } & Record<string, unknown> = JSON.parse(body.toString())
  const { mask, ...rest } = answer
  assert.deepEqual(rest, {
    width: 40,
    height: 20,
    classes: [
      { class: 'background', index: 0, pixels: 600, share: 0.75 },
      { class: 'sky', index: 1, pixels: 200, share: 0.25 },
    ],
  })
  const png = await ask('segments', image, 'image/png')
  assert.deepEqual([png.status, png.type], [200, 'image/png'])
  assert.ok(png.body.equals(Buffer.from(mask, 'base64')))
  const { data, info } = await sharp(png.body).raw().toBuffer({ resolveWithObject: true })
  assert.deepEqual([info.width, info.height], [40, 20])
  assert.deepEqual([...data.subarray(0, 3)], [0, 0, 0])
  assert.notDeepEqual([...data.subarray(39 * info.channels, 39 * info.channels + 3)], [0, 0, 0])

  const drawn = await ask('segments', image, 'image/jpeg')
  assert.equal(drawn.type, 'image/jpeg')
  const { width, height } = await sharp(drawn.body).metadata()
  assert.deepEqual([width, height], [40, 20])
})

test('features are a vector for each image', async () => {
  const one = await greyImage(2, [0, 51, 102, 255])
  const { body } = await ask('features', one)
  const vector: number[] = JSON.parse(body.toString())
  assert.equal(vector.length, 4)
  const length = Math.hypot(0, 51, 102, 255)
  for (const [index, value] of [0, 51, 102, 255].entries())
    assert.ok(Math.abs((vector[index] ?? NaN) - value / length) < 1e-6)
  const form = new FormData()
  form.set('a', new Blob([one]))
  form.set('b', new Blob([one]))
  const both: unknown = JSON.parse((await ask('features', form)).body.toString())
  assert.deepEqual(both, [vector, vector])
})

test('numbers that no detector should give do no harm', async () => {
  assert.deepEqual(await detections('hostile', await plain(10, 10)), [
    { class: '1', index: 1, score: 0.9, box: [0, 0, 10, 10] },
  ])
  const { status, type } = await ask('hostile', await plain(10, 10), 'image/png')
  assert.deepEqual([status, type], [200, 'image/png'])
})

test('an object with an odd label is drawn, and other models go on', async (t) => {
  const { manage, fetch: send } = await server()
  const target = path.join(temporaryFolder(t), 'odd')
  mkdirSync(target)
  writeFileSync(path.join(target, 'model.onnx'), readFileSync(path.join(models.ssd, 'model.onnx')))
  const labels = { id2label: { 0: '\u001b[31mred\u202e', 1: '"a", b\n=1+1' } }
  writeFileSync(path.join(target, 'config.json'), JSON.stringify(labels))
  const settings = { handler: 'image', task: { type: 'detection' } }
  writeFileSync(path.join(target, 'model.json'), JSON.stringify(settings))
  const url = `/models?url=${encodeURIComponent(target)}&initial_workers=1&synchronous=true`
  assert.equal((await manage(url, { method: 'POST' })).status, 200)
  const image = await plain(200, 100)
  const csv = await ask('odd', image, 'text/csv')
  assert.match(csv.body.toString(), /^label,.*\n\[31mred,0.9,.*\n"""a"", b =1\+1",0.8,/)
  const drawn = await ask('odd', image, 'image/png')
  assert.equal((await sharp(drawn.body).metadata()).width, 200)
  const document = JSON.stringify(await json(await send('/openapi.json')))
  assert.ok(document.includes(JSON.stringify(['[31mred', '"a", b =1+1'])), 'labels of the document')
  assert.equal((await ask('ssd', image)).status, 200)
})

test('tensors and damaged images are handled as for other image models', async () => {
  const broken = await ask('ssd', new Blob([Buffer.from('hello')], { type: 'image/png' }))
  assert.equal(broken.status, 400)
  const tensor = JSON.stringify(
    Array.from({ length: 1 }, () => [
      [
        [0, 0],
        [0, 0],
      ],
    ]),
  )
  const { status, body } = await ask('features', new Blob([tensor], { type: 'application/json' }))
  assert.equal(status, 200, body.toString())
  assert.deepEqual(Object.keys(JSON.parse(body.toString()) as object), ['features'])
})

test('metadata and OpenAPI name the task, its response and its labels', async () => {
  const { fetch: send } = await server()
  const described = await json(
    await send('/predictions/ssd', { method: 'POST', headers: { describe: 'True' } }),
  )
  const { task, labels, topK }: Record<string, unknown> = { ...(described as object) }
  assert.deepEqual([task, labels, topK], ['detection', ['cat', 'dog'], undefined])
  const document = JSON.stringify(await json(await send('/openapi.json')))
  const { paths, components } = JSON.parse(document)
  const { content } = paths['/predictions/ssd'].post.responses['200']
  assert.deepEqual(Object.keys(content), [
    'application/json',
    'image/png',
    'image/jpeg',
    'text/csv',
  ])
  const { schemas } = components
  assert.deepEqual(schemas.SsdDetection.properties.class.enum, ['cat', 'dog'])
  assert.deepEqual(schemas.SegmentsArea.properties.class.enum, ['background', 'sky'])
  assert.equal(schemas.FeaturesPredictResponse.type, 'array')
})

test('a task that the model does not suit is refused, and the message says what to declare', async (t) => {
  const { manage } = await server()
  const parent = temporaryFolder(t)
  for (const [name, settings, pattern] of [
    ['a', { task: { type: 'detection', format: 'detr' } }, /set \\"activation\\" to \\"softmax\\"/],
    ['b', { handler: 'onnx', task: { type: 'detection' } }, /\\"task\\" needs the handler/],
    ['d', { task: { type: 'boxes' } }, /task.type: Expected one of classification,detection/],
  ] as const) {
    const source = path.join(models.ssd, 'model.onnx')
    const target = path.join(parent, name)
    mkdirSync(target)
    writeFileSync(path.join(target, 'model.onnx'), readFileSync(source))
    writeFileSync(
      path.join(target, 'model.json'),
      JSON.stringify({ handler: 'image', ...settings }),
    )
    const response = await manage(`/models?url=${encodeURIComponent(target)}`, { method: 'POST' })
    const text = await response.text()
    assert.ok(response.status >= 400, text)
    assert.match(text, pattern)
  }
})

test('UltraFace finds the faces of a photograph', { skip: needsShared }, async (t) => {
  const target = path.join(temporaryFolder(t), 'faces')
  mkdirSync(target)
  writeFileSync(
    path.join(target, 'model.onnx'),
    readFileSync(sharedPath('models/ultraface-rfb-320.onnx')),
  )
  writeFileSync(path.join(target, 'labels.txt'), 'face\n')
  const settings = {
    handler: 'image',
    labels: 'labels.txt',
    task: { type: 'detection' },
    image: { scale: 1, mean: [127], std: [128] },
  }
  writeFileSync(path.join(target, 'model.json'), JSON.stringify(settings))
  const { fetch: send, manage } = await server()
  const url = `/models?url=${encodeURIComponent(target)}&initial_workers=1&synchronous=true`
  const registered = await manage(url, { method: 'POST' })
  assert.equal(registered.status, 200, await registered.text())
  const body = readFileSync(sharedPath('images/persons.jpg'))
  const response = await send('/predictions/faces', { method: 'POST', body })
  const found = (await json(response)) as readonly Detection[]
  // Measured by hand in the photograph of 640×491 pixels: left, top, right, bottom.
  const faces = [
    [404, 172, 432, 208],
    [131, 93, 159, 131],
    [510, 156, 540, 195],
    [192, 76, 215, 108],
  ]
  assert.equal(found.length, faces.length)
  for (const [index, [left = 0, top = 0, right = 0, bottom = 0]] of faces.entries()) {
    const {
      box: [x1 = 0, y1 = 0, x2 = 0, y2 = 0],
      ...rest
    } = found[index] ?? assert.fail()
    assert.ok(rest.class === 'face' && rest.index === 0 && rest.score > 0.8, `${index}`)
    const common =
      Math.max(0, Math.min(right, x2) - Math.max(left, x1)) *
      Math.max(0, Math.min(bottom, y2) - Math.max(top, y1))
    const union = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - common
    assert.ok(common / union > 0.7, `face ${index}: ${common / union}`)
  }
})
