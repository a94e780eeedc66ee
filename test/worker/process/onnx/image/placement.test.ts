import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  placeImage,
  sourceX,
  sourceY,
} from '../../../../../src/worker/process/onnx/image/placement.ts'
import type { Geometry } from '../../../../../src/worker/process/onnx/image/placement.ts'

const square: Geometry = {
  width: 224,
  height: 224,
  fit: 'fill',
  cropPct: 1,
  resize: undefined,
  cropRounding: 'even',
  padPosition: 'center',
}
const open: Geometry = { ...square, width: undefined, height: undefined }

function placed(width: number, height: number, geometry: Partial<Geometry>): number[] {
  const place = placeImage(width, height, { ...square, ...geometry })
  return [place.resizedWidth, place.resizedHeight, place.left, place.top, place.width, place.height]
}

test('an image is stretched, cropped or padded to the size of the input', () => {
  assert.deepEqual(placed(640, 480, {}), [224, 224, 0, 0, 224, 224])
  assert.deepEqual(placed(640, 480, { fit: 'cover' }), [298, 224, -37, 0, 224, 224])
  assert.deepEqual(placed(640, 480, { fit: 'contain' }), [224, 168, 0, 28, 224, 224])
  assert.deepEqual(
    placed(640, 480, { fit: 'contain', padPosition: 'top-left' }),
    [224, 168, 0, 0, 224, 224],
  )
  assert.deepEqual(placed(3, 2, { fit: 'cover', width: 8, height: 4 }), [8, 5, 0, 0, 8, 4])
  // A line of one pixel keeps one pixel.
  assert.deepEqual(placed(1, 5000, { fit: 'contain' }), [1, 224, 111, 0, 224, 224])
})

test('crops begin where torchvision and Hugging Face begin them', () => {
  // torchvision: Resize(256), CenterCrop(224). 341 - 224 = 117, and 58.5 is rounded to 58.
  const imagenet = { fit: 'cover', cropPct: 0.875 } as const
  assert.deepEqual(placed(640, 480, imagenet), [341, 256, -58, -16, 224, 224])
  assert.deepEqual(placed(480, 640, imagenet), [256, 341, -16, -58, 224, 224])
  // 343 - 224 = 119: torchvision rounds 59.5 to 60, Hugging Face cuts it off.
  assert.deepEqual(placed(343, 256, imagenet), [343, 256, -60, -16, 224, 224])
  const floor = { ...imagenet, cropRounding: 'floor' } as const
  assert.deepEqual(placed(343, 256, floor), [343, 256, -59, -16, 224, 224])
  assert.deepEqual(placed(640, 480, { cropPct: 0.875 }), [256, 256, -16, -16, 224, 224])
  const fixed = { resize: { width: 256, height: 240 } }
  assert.deepEqual(placed(640, 480, fixed), [256, 240, -16, -8, 224, 224])
  assert.deepEqual(placed(100, 300, { resize: {} }), [100, 300, 62, -38, 224, 224])
})

test('a rule for the edges gives the size where the model takes any', () => {
  const edges = (shortestEdge?: number, longestEdge?: number) => ({
    ...open,
    resize: {
      ...(shortestEdge === undefined ? {} : { shortestEdge }),
      ...(longestEdge === undefined ? {} : { longestEdge }),
    },
  })
  assert.deepEqual(placed(640, 480, edges(800, 1333)), [1066, 800, 0, 0, 1066, 800])
  // As get_size_with_aspect_ratio of DETR: the longest edge limits.
  assert.deepEqual(placed(2000, 500, edges(800, 1333)), [1333, 333, 0, 0, 1333, 333])
  assert.deepEqual(placed(500, 2000, edges(undefined, 1024)), [256, 1024, 0, 0, 256, 1024])
})

test('the corners and the centre of an image lead back to themselves', () => {
  const side = fc.integer({ min: 1, max: 5000 })
  fc.assert(
    fc.property(
      side,
      side,
      fc.constantFrom('fill', 'cover', 'contain'),
      fc.constantFrom(1, 0.875, 0.5),
      fc.constantFrom('center', 'top-left'),
      (width, height, fit, cropPct, padPosition) => {
        const place = placeImage(width, height, { ...square, fit, cropPct, padPosition })
        const { left, top, resizedWidth, resizedHeight } = place
        for (const share of [0, 0.5, 1]) {
          const x = sourceX(left + resizedWidth * share, place)
          const y = sourceY(top + resizedHeight * share, place)
          assert.ok(Math.abs(x - width * share) < 1e-6, `${x}`)
          assert.ok(Math.abs(y - height * share) < 1e-6, `${y}`)
        }
        if (fit === 'contain') {
          assert.ok(left >= 0 && top >= 0)
          assert.ok(left + resizedWidth <= 224 && top + resizedHeight <= 224)
        } else {
          assert.ok(left <= 0 && top <= 0)
          assert.ok(left + resizedWidth >= 224 && top + resizedHeight >= 224)
        }
      },
    ),
  )
})
