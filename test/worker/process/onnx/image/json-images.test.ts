import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import { imagesOfJson } from '../../../../../src/worker/process/onnx/image/json-images.ts'
import { failsWith } from '../../../../helpers/pictures.ts'

const limits = { maxJsonBytes: 1e6, maxJsonDepth: 100, maxResponseBytes: 1e6 }
const png = await sharp({
  create: { width: 2, height: 2, channels: 3, background: 'red' },
})
  .png()
  .toBuffer()
const text = png.toString('base64')

function find(body: unknown) {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  return imagesOfJson(bytes, limits, 'pixels')
}

test('base64 is found in every form that clients send', () => {
  const single: unknown[] = [
    { b64: text },
    { image: text },
    { image: { b64: text } },
    { pixels: text },
    { image_bytes: { b64: text }, key: 1, more: [{ b64: 'x' }] },
    { data: `data:image/png;base64,${text}` },
    { body: png.toString('base64url') },
    { b64: `${text.slice(0, 40)}\r\n${text.slice(40)}` },
    JSON.stringify(text),
  ]
  for (const body of single) {
    assert.deepEqual(find(body), { images: [png], isList: false }, JSON.stringify(body))
  }
  const lists: [unknown, number][] = [
    [[text], 1],
    [[{ b64: text }, text], 2],
    [{ images: [text, text] }, 2],
    [{ instances: [{ b64: text }] }, 1],
    [{ instances: [{ image: { b64: text } }, { data: text, id: 7 }] }, 2],
    [{ inputs: [text] }, 1],
  ]
  for (const [body, count] of lists) {
    const images = Array.from({ length: count }, () => png)
    assert.deepEqual(find(body), { images, isList: true }, JSON.stringify(body))
  }
})

test('tensors, and JSON without images, are left to other codecs', () => {
  const tensor = { name: 'pixels', datatype: 'BYTES', shape: [1], data: [text] }
  const bodies: unknown[] = [
    {},
    [],
    3,
    null,
    { pixels: [[[1, 2]]] },
    { instances: [] },
    { instances: [[0.5]] },
    { image: 'NaN' },
    { other: text },
    { inputs: [tensor] },
    { inputs: [{ data: [text], shape: [1], datatype: 'BYTES', name: 'pixels' }] },
    [[text, 3]],
  ]
  for (const body of bodies) assert.equal(find(body), undefined, JSON.stringify(body))
})

test('a text that is not an image is rejected, and the error says what to send', () => {
  const heic = Buffer.from('\0\0\0\u0018ftypheic\0\0\0\0mif1heic', 'latin1').toString('base64')
  const refused: [unknown, RegExp][] = [
    [{ b64: 'hello, world' }, /^Image 1 of the request is not base64: "hello, world". Send/],
    [{ b64: '' }, /not base64/],
    [{ image: 'https://example.com/cat.jpg' }, /is a URL, .* URLs are not fetched/],
    [[text, { b64: 'aGVsbG8=' }], /^Image 2 of the request is not an image file; send JPEG/],
    [`{"b64": "${text}"} x`, /Malformed JSON/],
    [`{"b64": "${text}"`, /Malformed JSON/],
  ]
  for (const [body, pattern] of refused) {
    assert.throws(() => find(body), failsWith('InvalidInputException', pattern))
  }
  assert.throws(
    () => find({ b64: heic }),
    failsWith('UnsupportedMediaTypeException', /format that is not supported; send JPEG/),
  )
})
