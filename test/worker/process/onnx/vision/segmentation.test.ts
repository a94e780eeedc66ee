import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import type { TaskSettings } from '../../../../../src/model-folder/task-settings.ts'
import type { Tensor } from '../../../../../src/worker/process/onnx/tensors/tensor.ts'
import { maskPng } from '../../../../../src/worker/process/onnx/vision/drawing/mask-png.ts'
import { featuresOf, planFeatures } from '../../../../../src/worker/process/onnx/vision/features.ts'
import type { PixelMap } from '../../../../../src/worker/process/onnx/vision/geometry.ts'
import {
  areasOf,
  masksOf,
  planSegmentation,
} from '../../../../../src/worker/process/onnx/vision/segmentation.ts'
import { failsWith, spec } from '../../../../helpers/pictures.ts'
import { mapOf } from '../../../../helpers/pixel-map.ts'
import { randomNumbers, testSeed } from '../../../../helpers/random.ts'

const seed = testSeed()

function floatTensor(shape: readonly number[], data: Iterable<number>): Tensor {
  return { datatype: 'FP32', shape, data: Float32Array.from(data) }
}

/** The map of a model whose input has 2×2 pixels. */
function mapTo(
  width: number,
  height: number,
  fit: 'fill' | 'cover' | 'contain' = 'fill',
): PixelMap {
  return mapOf({ width: 2, height: 2, fit }, { width, height })
}

/** The classes of the only image, row by row. */
function mask(
  output: Tensor,
  map: PixelMap,
  settings: Partial<TaskSettings> = {},
  labels: readonly string[] = [],
): number[] {
  const specs = [spec(output.shape, output.datatype)]
  const plan = planSegmentation(specs, { type: 'segmentation', ...settings }, labels)
  const [only, ...others] = masksOf(plan, output, [map])
  assert.ok(only !== undefined && others.length === 0)
  assert.deepEqual([only.width, only.height], [map.original.width, map.original.height])
  return [...only.classes]
}

test('the class with the highest score wins, the first of equal ones, and NaN never', () => {
  const scores = [0, 5, 1, NaN, /**/ 1, 5, 2, NaN, /**/ 0, 4, 3, 2]
  assert.deepEqual(mask(floatTensor([1, 3, 2, 2], scores), mapTo(2, 2)), [1, 0, 2, 2])
  const last = [0, 1, 0, /**/ 5, 5, 4, /**/ 1, 2, 3, /**/ NaN, NaN, 2]
  const output = floatTensor([1, 2, 2, 3], last)
  assert.deepEqual(mask(output, mapTo(2, 2), {}, ['a', 'b', 'c']), [1, 0, 2, 2])
})

test('a mask of one channel has class 1 above the threshold', () => {
  const output = floatTensor([1, 1, 2, 2], [0.4, 0.6, 0.5, NaN])
  assert.deepEqual(mask(output, mapTo(2, 2)), [0, 1, 0, 0])
  assert.deepEqual(mask(output, mapTo(2, 2), { threshold: 0.3 }), [1, 1, 1, 0])
  const logits = floatTensor([1, 2, 2, 1], [-1, 1, -Infinity, Infinity])
  assert.deepEqual(mask(logits, mapTo(2, 2), { activation: 'sigmoid' }), [0, 1, 0, 1])
})

test('a map of classes is used as it is, and numbers that are no class are 0', () => {
  const data = BigInt64Array.of(0n, 255n, 256n, -1n)
  const output: Tensor = { datatype: 'INT64', shape: [1, 2, 2], data }
  assert.deepEqual(mask(output, mapTo(2, 2)), [0, 255, 0, 0])
  const odd = floatTensor([1, 2, 2], [1.2, NaN, Infinity, 1e30])
  assert.deepEqual(mask(odd, mapTo(2, 2)), [1, 0, 0, 0])
})

test('each pixel of the image has the class of the nearest cell, for each way to resize', () => {
  const output = floatTensor([1, 2, 2], [1, 2, 3, 4])
  const rows = (map: PixelMap): string[] => {
    const found = mask(output, map)
    return Array.from({ length: map.original.height }, (_, row) =>
      found.slice(row * map.original.width, (row + 1) * map.original.width).join(''),
    )
  }
  assert.deepEqual(rows(mapTo(4, 2)), ['1122', '3344'])
  assert.deepEqual(rows(mapTo(3, 3)), ['122', '344', '344'])
  assert.deepEqual(rows(mapTo(1, 1)), ['4'])
  // The middle is cut out, and nothing is known of the sides.
  assert.deepEqual(rows(mapTo(8, 4, 'cover')), ['00112200', '00112200', '00334400', '00334400'])
  // The image fills the upper row, the lower one is padding.
  assert.deepEqual(rows(mapTo(4, 2, 'contain')), ['1122', '1122'])
})

test('areas say which part of the image belongs to which class', () => {
  const classes = Uint8Array.of(0, 2, 2, 2, 0, 1)
  const areas = areasOf({ width: 3, height: 2, classes }, ['background', 'sky', 'road'])
  assert.deepEqual(areas, [
    { class: 'road', index: 2, pixels: 3, share: 0.5 },
    { class: 'background', index: 0, pixels: 2, share: 0.333333 },
    { class: 'sky', index: 1, pixels: 1, share: 0.166667 },
  ])
  assert.equal(areasOf({ width: 3, height: 2, classes }, [])[0]?.class, '2')
})

test('labels may leave out the background', () => {
  const labels = (names: readonly string[], settings: Partial<TaskSettings> = {}, channels = 3) =>
    planSegmentation([spec([1, channels, 4, 4])], { type: 'segmentation', ...settings }, names)
      .labels
  assert.deepEqual(labels(['a', 'b']), ['background', 'a', 'b'])
  assert.deepEqual(labels(['x', 'a', 'b']), ['x', 'a', 'b'])
  assert.deepEqual(labels(['person'], {}, 1), ['background', 'person'])
  assert.throws(
    () => labels(['a', 'b'], { background: 'none' }),
    failsWith('InvalidModelException', /has 3 classes, but there are 2 labels/),
  )
})

test('a model without a mask is refused, and the message says what to set', () => {
  const refused: [Parameters<typeof planSegmentation>[0], string | undefined, RegExp][] = [
    [[spec([1, 9])], undefined, /set "output" to the output with the mask.*the model has "image"/],
    [
      [spec([1, 2, 4, 4], 'FP32', 'out'), spec([1, 2, 4, 4], 'FP32', 'aux')],
      undefined,
      /set "output"/,
    ],
    [[spec([1, 9], 'FP32', 'out')], 'out', /"out", FP32 \[1,9\], cannot be a mask/],
    [[spec([1, 300, 4, 4], 'FP32', 'out')], undefined, /more than 256 classes/],
  ]
  for (const [specs, output, pattern] of refused) {
    assert.throws(
      () => planSegmentation(specs, { type: 'segmentation' }, [], output),
      failsWith('InvalidModelException', pattern),
    )
  }
})

test(`a mask as PNG has the classes as pixels and a palette, ONNXD_TEST_SEED=${seed}`, async () => {
  const random = randomNumbers(seed)
  for (const [width, height] of [
    [1, 1],
    [7, 3],
    [300, 200],
  ] as const) {
    const classes = Uint8Array.from({ length: width * height }, () => random.integer(0, 255))
    const png = maskPng({ width, height, classes }, true)
    const header = await sharp(png).metadata()
    assert.deepEqual([header.width, header.height, header.isPalette], [width, height, true])
    // A decoder replaces each class by its color, so each color stands for one class.
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
    const colors = new Map<string, number>()
    for (const [pixel, one] of classes.entries()) {
      const color = data
        .subarray(pixel * info.channels, (pixel + 1) * info.channels)
        .toString('hex')
      assert.equal(colors.get(color) ?? one, one, `${color} of pixel ${pixel}`)
      colors.set(color, one)
    }
    if (classes.includes(0)) assert.equal(colors.get('000000'), 0)
  }
})

test('features are pooled over positions and scaled to length 1', () => {
  const features = (output: Tensor, settings: Partial<TaskSettings> = {}): readonly number[][] => {
    const plan = planFeatures([spec(output.shape)], { type: 'features', ...settings })
    return featuresOf(plan, output, output.shape[0] ?? 0).map((one) => [...one])
  }
  assert.deepEqual(features(floatTensor([2, 2], [3, 4, 0.1, 0])), [
    [3, 4],
    [0.1, 0],
  ])
  assert.deepEqual(features(floatTensor([1, 2], [3, 4]), { normalize: true }), [[0.6, 0.8]])
  assert.deepEqual(features(floatTensor([1, 2], [0, 0]), { normalize: true }), [[0, 0]])
  assert.deepEqual(features(floatTensor([1, 2], [3e38, 3e38]), { normalize: true }), [
    [0.70710677, 0.70710677],
  ])
  assert.deepEqual(features(floatTensor([1, 2, 2, 2], [1, 2, 3, 6, 0, 0, 0, 4])), [[3, 1]])
  assert.deepEqual(features(floatTensor([1, 3, 1, 1], [1, 2, 3])), [[1, 2, 3]])
  assert.deepEqual(features(floatTensor([1, 2, 3], [1, 2, 3, 3, 4, 5])), [[2, 3, 4]])
  const first = features(floatTensor([1, 2, 3], [1, 2, 3, 3, 4, 5]), { pooling: 'first' })
  assert.deepEqual(first, [[1, 2, 3]])
})

test('of several outputs, the one with the pooled features is used', () => {
  const hidden = spec([-1, 197, 768], 'FP32', 'last_hidden_state')
  const pooled = spec([-1, 768], 'FP32', 'pooler_output')
  assert.equal(planFeatures([hidden, pooled], { type: 'features' }).output, 'pooler_output')
  const chosen = planFeatures([hidden, pooled], { type: 'features' }, 'last_hidden_state')
  assert.equal(chosen.output, 'last_hidden_state')
  assert.throws(
    () => planFeatures([hidden, spec([-1, 3], 'FP32', 'x')], { type: 'features' }),
    failsWith('InvalidModelException', /set "output" to the output with the features/),
  )
  assert.throws(
    () => planFeatures([spec([3])], { type: 'features' }),
    failsWith('InvalidModelException', /cannot be features/),
  )
})

test('outputs of another rank than the declared one are errors', () => {
  const scores = planSegmentation([spec([1, 2, 2, 2])], { type: 'segmentation' }, [])
  const classes = planSegmentation([spec([1, 2, 2], 'INT64')], { type: 'segmentation' }, [])
  const values = [0, 1, 0, 1]
  for (const [plan, shape, pattern] of [
    [scores, [1, 2, 2], /shape \[1,2,2\], but its task needs \[N,classes,H,W\]/],
    [scores, [1, 4], /needs \[N,classes,H,W\]/],
    [classes, [1, 1, 2, 2], /needs \[N,H,W\]/],
  ] as const) {
    assert.throws(
      () => masksOf(plan, floatTensor(shape, values), [mapTo(4, 4)]),
      failsWith('InternalServerException', pattern),
    )
  }
  const features = planFeatures([spec([1, 4])], { type: 'features' })
  assert.throws(
    () => featuresOf(features, floatTensor([1], [1]), 1),
    failsWith('InternalServerException', /needs \[N,D\]/),
  )
})
