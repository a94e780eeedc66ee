/** The example that draws boxes, with a tiny model and the test kit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import { FACE_SIZE, facesFolder } from '../helpers/face-model.ts'
import { loadFolder } from '../helpers/handler-folder.ts'
import { temporaryFolder } from '../helpers/server.ts'

type Point = readonly [x: number, y: number]

interface Face {
  readonly box: readonly number[]
  readonly score: number
}

/** The image is twice as wide as the input of the model, so all sizes double. */
const WIDTH = 1280
const HEIGHT = 960
const POINTS: readonly Point[] = [
  [300, 400],
  // Beside the first one: the same face.
  [308, 400],
  [1000, 480],
  // Half of the face is outside of the image.
  [40, 800],
]

test('faces are boxes in pixels of the image, or frames that are drawn on it', async (t) => {
  const model = await loadFolder(t, facesFolder(temporaryFolder(t)))
  const image = await pointImage(POINTS)
  const { faces } = (await (await model.predict(image)).json()) as { faces: readonly Face[] }
  assert.equal(faces.length, 3)
  const [height, width] = FACE_SIZE.map((size) => size * (WIDTH / 640)) as [number, number]
  for (const [x, y] of POINTS.filter((_, index) => index !== 1)) {
    const wanted = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    const isNear = ({ box }: Face): boolean =>
      box.every((edge, index) => Math.abs(edge - (wanted[index] ?? 0)) <= 8)
    assert.ok(faces.some(isNear), JSON.stringify([wanted, faces]))
  }

  const drawn = await model.predict(image, { headers: { Accept: 'image/jpeg' } })
  assert.equal(drawn.headers.get('content-type'), 'image/jpeg')
  const { data, info } = await sharp(Buffer.from(await drawn.arrayBuffer()))
    .raw()
    .toBuffer({ resolveWithObject: true })
  assert.deepEqual([info.width, info.height], [WIDTH, HEIGHT])
  const isGreen = (x: number, y: number): boolean => {
    const [red = 0, green = 0, blue = 0] = data.subarray((y * WIDTH + x) * 3)
    return green > 150 && red < 150 && blue < 150
  }
  for (const { box } of faces) {
    const [left = 0, top = 0, right = 0, bottom = 0] = box.map(Math.round)
    const middle = Math.round((Math.max(0, left) + right) / 2)
    assert.ok(isGreen(right - 3, Math.min(HEIGHT - 1, top + 40)), 'the right edge')
    assert.ok(isGreen(middle, top + 3), 'the upper edge')
    assert.ok(bottom > HEIGHT || isGreen(middle, bottom - 3), 'the lower edge')
    assert.ok(left < 0 || isGreen(left + 3, top + 40), 'the left edge')
    assert.ok(!isGreen(middle, top + 40), 'the face itself')
  }
})

test('an image without faces has none, and what is no image is rejected', async (t) => {
  const model = await loadFolder(t, facesFolder(temporaryFolder(t)))
  const image = await pointImage([])
  assert.deepEqual(await (await model.predict(image)).json(), { faces: [] })
  const form = await model.predict(undefined, { fields: { image: await pointImage([[600, 400]]) } })
  assert.equal(((await form.json()) as { faces: readonly Face[] }).faces.length, 1)
  assert.equal((await model.predict('a text')).status, 400)
  assert.equal((await model.predict(Buffer.from('no image'))).status, 400)
})

/** A white image with red points. */
function pointImage(points: readonly Point[]): Promise<Buffer> {
  const side = 16
  const create = { width: side, height: side, channels: 3, background: '#ff0000' } as const
  const dots = points.map(([x, y]) => ({
    input: { create },
    left: x - side / 2,
    top: y - side / 2,
  }))
  const white = { width: WIDTH, height: HEIGHT, channels: 3, background: '#ffffff' } as const
  return sharp({ create: white }).composite(dots).png().toBuffer()
}
