import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import {
  drawDetections,
  textOf,
} from '../../../../../src/worker/process/onnx/vision/drawing/boxes.ts'
import { Canvas } from '../../../../../src/worker/process/onnx/vision/drawing/canvas.ts'
import {
  BLACK,
  WHITE,
  colorOf,
  textColorOn,
} from '../../../../../src/worker/process/onnx/vision/drawing/colors.ts'
import { strokesOf } from '../../../../../src/worker/process/onnx/vision/drawing/glyphs.ts'
import { drawOn } from '../../../../../src/worker/process/onnx/vision/drawing/photo.ts'
import { randomNumbers, testSeed } from '../../../../helpers/random.ts'

const seed = testSeed()
const GREY = 90

function greyCanvas(width: number, height: number): { canvas: Canvas; pixels: Uint8Array } {
  const pixels = new Uint8Array(width * height * 3).fill(GREY)
  return { canvas: new Canvas(pixels, { width, height }), pixels }
}

function colorAt(pixels: Uint8Array, width: number, x: number, y: number): number[] {
  return [...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)]
}

test('a detection is a frame in the color of its class, on the pixels of its box', () => {
  const { canvas, pixels } = greyCanvas(100, 80)
  const box = [30, 40, 60, 70] as const
  drawDetections(canvas, [{ class: 'cat', index: 1, score: 0.9, box }], 1)
  const color = [...colorOf(1)]
  for (const [x, y] of [
    [30, 50],
    [59, 50],
    [45, 40],
    [45, 69],
  ] as const) {
    assert.deepEqual(colorAt(pixels, 100, x, y), color, `${x},${y}`)
  }
  for (const [x, y] of [
    [45, 55],
    [29, 55],
    [60, 55],
    [45, 70],
  ] as const) {
    assert.deepEqual(colorAt(pixels, 100, x, y), [GREY, GREY, GREY], `${x},${y}`)
  }
  // The label lies above the box: its background, and the dark letters on it.
  const label = Array.from({ length: 30 }, (_, x) => colorAt(pixels, 100, 31 + x, 36))
  assert.ok(label.some(([red = 0, green = 0]) => green > 150 && red < 50))
})

test('labels of boxes side by side cover neither one another nor the boxes', () => {
  const { canvas, pixels } = greyCanvas(300, 200)
  const boxes = [
    [60, 60, 90, 90],
    [95, 60, 125, 90],
    [60, 95, 90, 125],
    [95, 95, 125, 125],
  ] as const
  const detections = boxes.map((box, index) => ({ class: 'label', index, score: 0.5, box }))
  drawDetections(canvas, detections, 1)
  for (const [left, top, right, bottom] of boxes) {
    const middle = colorAt(pixels, 300, (left + right) / 2, (top + bottom) / 2)
    assert.deepEqual(middle, [GREY, GREY, GREY])
  }
})

test(`boxes anywhere and of any size never write outside the image, ONNXD_TEST_SEED=${seed}`, () => {
  const random = randomNumbers(seed)
  for (let round = 0; round < 60; round++) {
    const [width, height] = [random.integer(1, 120), random.integer(1, 120)]
    const detections = Array.from({ length: random.integer(1, 8) }, () => {
      const [left, top] = [random.next() * width, random.next() * height]
      const box = [left, top, left + random.next() * 200, top + random.next() * 200] as const
      return {
        class: 'some longer label',
        index: random.integer(0, 999),
        score: random.next(),
        box,
      }
    })
    const { canvas, pixels } = greyCanvas(width, height)
    drawDetections(canvas, detections, random.next() * 2 + 0.01)
    assert.equal(pixels.length, width * height * 3)
    assert.ok(pixels.some((value) => value !== GREY))
  }
})

test('every printable character of ASCII can be drawn, and each looks different', () => {
  const seen = new Map<string, string>()
  for (let code = 33; code < 127; code++) {
    const character = String.fromCharCode(code)
    assert.ok((strokesOf(character)?.length ?? 0) > 0, character)
    const { canvas, pixels } = greyCanvas(7, 10)
    canvas.text(character, 0, 0, WHITE, 1)
    const image = Buffer.from(pixels).toString('latin1')
    assert.equal(seen.get(image), undefined, character)
    seen.set(image, character)
  }
})

test('a label shows the class and two digits of the score', () => {
  const text = (label: string, score = 0.876): string =>
    textOf({ class: label, index: 7, score, box: [0, 0, 1, 1] })
  assert.equal(text('cat'), 'cat 0.88')
  assert.equal(text('Crème  brûlée'), 'Creme brulee 0.88')
  assert.equal(text('猫'), '#7 0.88')
  assert.equal(text(''), '#7 0.88')
  assert.equal(text('cat', 1234.5), 'cat 1.23e+3')
  assert.equal(text('x'.repeat(99)), `${'x'.repeat(24)}... 0.88`)
})

test('the text on each color of a class can be read', () => {
  const luminance = (color: readonly number[]): number => {
    const [red = 0, green = 0, blue = 0] = color.map((value) => {
      const share = value / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  for (let index = 0; index < 300; index++) {
    const color = colorOf(index)
    const text = textColorOn(color)
    assert.ok(text === BLACK || text === WHITE)
    const [dark = 0, light = 0] = [luminance(color), luminance(text)].toSorted((a, b) => a - b)
    assert.ok((light + 0.05) / (dark + 0.05) >= 3, `${index}: ${color.join()}`)
  }
})

test('the drawn image is upright, has the size of the image and the wanted format', async () => {
  const image = await sharp({ create: { width: 60, height: 40, channels: 4, background: '#00f8' } })
    .withMetadata({ orientation: 6 })
    .png()
    .toBuffer()
  for (const type of ['image/png', 'image/jpeg'] as const) {
    const drawn = await drawOn(image, type, (canvas, factor) => {
      assert.deepEqual([canvas.width, canvas.height, factor], [40, 60, 1])
      canvas.fillRectangle({ left: 0, top: 50, width: 40, height: 10 }, WHITE)
    })
    const { data, info } = await sharp(drawn).raw().toBuffer({ resolveWithObject: true })
    assert.equal((await sharp(drawn).metadata()).format, type.slice('image/'.length))
    assert.deepEqual([info.width, info.height, info.channels], [40, 60, 3])
    assert.ok(Number(data.at(-1)) > 250 && Number(data[0]) < 10)
  }
})

test('an image with more pixels than the limit is drawn at a smaller size', async () => {
  const image = await sharp({
    create: { width: 1000, height: 500, channels: 3, background: '#fff' },
  })
    .jpeg()
    .toBuffer()
  const draw = (canvas: Canvas, factor: number): void => {
    assert.ok(Math.abs(canvas.width / 1000 - factor) < 2e-3)
  }
  const { width, height } = await sharp(await drawOn(image, 'image/jpeg', draw, 20_000)).metadata()
  assert.deepEqual([width, height], [200, 100])
})
