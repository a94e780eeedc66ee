import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImageSettings } from '../../../../../src/model-folder/image-settings.ts'
import { fillInputs, planInputs } from '../../../../../src/worker/process/onnx/image/facts.ts'
import { placeImage } from '../../../../../src/worker/process/onnx/image/placement.ts'
import type { TensorSpec } from '../../../../../src/worker/process/onnx/tensors/metadata.ts'
import { failsWith, spec } from '../../../../helpers/pictures.ts'

const image = spec([-1, 3, 8, 8])
const pixels = { datatype: 'FP32', shape: [2, 3, 8, 8], data: new Float32Array(384) } as const
/** Two images of 32×16 and 4×8 pixels, padded to squares of 8. */
const placements = [
  [32, 16],
  [4, 8],
].map(([width = 0, height = 0]) =>
  placeImage(width, height, {
    width: 8,
    height: 8,
    fit: 'contain',
    cropPct: 1,
    resize: undefined,
    cropRounding: 'even',
    padPosition: 'top-left',
  }),
)

/** Shape and elements of the second input. */
function filled(extra: TensorSpec, fact: NonNullable<ImageSettings['inputs']>[string]) {
  const plan = planInputs([image, extra], { inputs: { [extra.name]: fact } })
  const [first, second] = fillInputs(plan, pixels, placements, { width: 8, height: 8 })
  assert.equal(first, pixels)
  return [second?.shape, Array.from(second?.data ?? [], Number)]
}

test('another input gets the sizes, the scale or the mask of each image', () => {
  const pair = spec([-1, 2], 'INT64', 'extra')
  assert.deepEqual(filled(pair, 'height-width'), [
    [2, 2],
    [16, 32, 8, 4],
  ])
  assert.deepEqual(filled(pair, 'width-height'), [
    [2, 2],
    [32, 16, 4, 8],
  ])
  assert.deepEqual(filled(pair, 'resized-height-width'), [
    [2, 2],
    [4, 8, 8, 4],
  ])
  assert.deepEqual(filled(pair, 'input-height-width'), [
    [2, 2],
    [8, 8, 8, 8],
  ])
  assert.deepEqual(filled(spec([-1, 2], 'FP32', 'extra'), 'scale'), [
    [2, 2],
    [0.25, 0.25, 1, 1],
  ])
  const [shape, mask] = filled(spec([-1, 8, 8], 'INT64', 'extra'), 'mask')
  assert.deepEqual(shape, [2, 8, 8])
  const rows = Array.from({ length: 16 }, (_, row) =>
    (mask as number[]).slice(row * 8, (row + 1) * 8).join(''),
  )
  const [whole, none, half] = ['11111111', '00000000', '11110000']
  assert.deepEqual(rows.slice(0, 8), [whole, whole, whole, whole, none, none, none, none])
  assert.deepEqual(new Set(rows.slice(8)), new Set([half]))
})

test('the image may be any input, and the others must be named', () => {
  const size = spec([-1, 2], 'INT64', 'size')
  const inputs = { size: 'height-width' } as const
  assert.equal(planInputs([size, image], { inputs }).image, image)
  const two = [image, spec([-1, 3, 8, 8], 'FP32', 'second')]
  assert.equal(planInputs([size], { input: 'size' }).image, size)
  const refused: [readonly TensorSpec[], ImageSettings, RegExp][] = [
    [[image, size], {}, /needs a model with one input; .* set in model.json "image"/],
    [two, { input: 'image' }, /needs a model with one input/],
    [[image], { inputs: { other: 'scale' } }, /names input "other" in "image"; the model has/],
    [[image], { input: 'x' }, /names input "x"/],
    [[image, spec([-1, 3], 'INT64', 'size')], { inputs }, /with height-width: the shape must be/],
    [[image, spec([-1, 2], 'BYTES', 'size')], { inputs }, /cannot fill input "size", BYTES/],
  ]
  for (const [specs, settings, pattern] of refused) {
    assert.throws(() => planInputs(specs, settings), failsWith('InvalidModelException', pattern))
  }
})
