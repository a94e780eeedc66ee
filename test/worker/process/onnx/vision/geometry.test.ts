import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import sharp from 'sharp'
import { planImageInput } from '../../../../../src/worker/process/onnx/image/plan.ts'
import { imagesToTensor } from '../../../../../src/worker/process/onnx/image/tensor.ts'
import { pixelMapOf } from '../../../../../src/worker/process/onnx/vision/geometry.ts'
import type { PixelMap } from '../../../../../src/worker/process/onnx/vision/geometry.ts'
import { spec } from '../../../../helpers/pictures.ts'
import { mapOf } from '../../../../helpers/pixel-map.ts'
import type { Fit } from '../../../../helpers/pixel-map.ts'
import { testSeed } from '../../../../helpers/random.ts'

const seed = testSeed()
const BLACK = { r: 0, g: 0, b: 0 }
const FITS = ['fill', 'cover', 'contain'] as const

const side = fc.integer({ min: 1, max: 3000 })
const setting = fc.record({ width: side, height: side, fit: fc.constantFrom(...FITS) })

test(`the middle stays the middle, and places keep their order, ONNXD_TEST_SEED=${seed}`, () => {
  const property = fc.property(
    setting,
    fc.record({ width: side, height: side }),
    fc.tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
    (fit, original, [a, b]) => {
      const map = mapOf(fit, original)
      const [x, y] = map.toOriginal(fit.width / 2, fit.height / 2)
      // Sizes are whole pixels, so the middle may move by one pixel of the resized image.
      const pixel = Math.max(
        ...map.toOriginal(1, 1).map((end, axis) => end - (map.toOriginal(0, 0)[axis] ?? 0)),
      )
      assert.ok(Math.abs(x - original.width / 2) <= pixel, `${x}`)
      assert.ok(Math.abs(y - original.height / 2) <= pixel, `${y}`)
      const [low, high] = [Math.min(a, b) * fit.width, Math.max(a, b) * fit.width]
      assert.ok(map.toOriginal(low, 0)[0] <= map.toOriginal(high, 0)[0])
    },
  )
  fc.assert(property, { seed, numRuns: 500 })
})

/** An image with a white square, prepared for a model; returns the middle of the square there. */
async function middleOfSquare(
  { width: columns, height: rows, fit }: Fit,
  width: number,
  height: number,
): Promise<{ readonly map: PixelMap; readonly middle: readonly [number, number] }> {
  const square = await sharp({
    create: { width: 20, height: 20, channels: 3, background: 'white' },
  })
    .png()
    .toBuffer()
  const image = await sharp({ create: { width, height, channels: 3, background: BLACK } })
    .composite([{ input: square, left: width / 2 + 10, top: height / 2 - 30 }])
    .png()
    .toBuffer()
  const plan = planImageInput(spec([1, 1, rows, columns]), { fit, kernel: 'bilinear' })
  const { tensor, placements } = await imagesToTensor([image], plan)
  const sums = [0, 0, 0]
  for (const [at, value] of tensor.data.entries()) {
    const weights = [1, (at % columns) + 0.5, Math.floor(at / columns) + 0.5]
    for (const [place, weight] of weights.entries())
      sums[place] = (sums[place] ?? 0) + Number(value) * weight
  }
  const [total = 1, x = 0, y = 0] = sums
  const [placement] = placements
  assert.ok(placement !== undefined)
  return { map: pixelMapOf(placement), middle: [x / total, y / total] }
}

for (const fit of FITS) {
  test(`a place that preprocessing moved is mapped back, fit ${fit}`, async () => {
    for (const [width, height] of [
      [200, 100],
      [100, 200],
      [150, 150],
      [640, 480],
    ] as const) {
      for (const target of [
        { width: 64, height: 64, fit },
        { width: 320, height: 240, fit },
      ]) {
        const { map, middle } = await middleOfSquare(target, width, height)
        const [ownX, ownY] = map.toOriginal(...middle)
        const text = `${width}×${height} to ${target.width}×${target.height}: ${ownX} ${ownY}`
        const tolerance = 0.6 * Math.max(1, width / target.width, height / target.height)
        assert.ok(Math.abs(ownX - (width / 2 + 20)) <= tolerance, text)
        assert.ok(Math.abs(ownY - (height / 2 - 20)) <= tolerance, text)
      }
    }
  })
}
