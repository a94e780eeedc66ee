import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IMAGE_PRESETS } from '../../../../../../src/model-folder/image-settings.ts'
import type { ImageSettings } from '../../../../../../src/model-folder/image-settings.ts'
import { planImageInput } from '../../../../../../src/worker/process/onnx/image/plan.ts'
import { failsWith, spec } from '../../../../../helpers/pictures.ts'

const open = spec([-1, 3, -1, -1])

test('each preset makes a plan, and its size gives way to that of the model', () => {
  for (const preset of IMAGE_PRESETS) {
    const { geometry, tables } = planImageInput(spec([1, 3, 96, 160]), { preset })
    assert.deepEqual([geometry.width, geometry.height, tables.length], [160, 96, 3], preset)
  }
  const sizes = IMAGE_PRESETS.filter((preset) => preset !== 'unit' && preset !== 'raw').map(
    (preset) => planImageInput(open, { preset }).geometry.width,
  )
  assert.deepEqual(sizes, [224, 224, 224, 299, 640, undefined])
  assert.throws(
    () => planImageInput(open, { preset: 'unit' }),
    failsWith('InvalidModelException', /width is open/),
  )
})

test('a key of model.json overrides that of the preset', () => {
  const plan = planImageInput(open, {
    preset: 'imagenet',
    kernel: 'bicubic',
    width: 384,
    mean: [0],
  })
  assert.equal(plan.kernel, 'bicubic')
  assert.deepEqual([plan.geometry.width, plan.geometry.height], [384, 224])
  assert.deepEqual([plan.geometry.fit, plan.geometry.cropPct], ['cover', 0.875])
  assert.deepEqual(
    plan.tables.map((table) => Number(table[0])),
    [0, 0, 0],
  )
  const stretched = planImageInput(spec([1, 3, 640, 640]), { preset: 'detr', fit: 'fill' })
  assert.equal(stretched.geometry.resize, undefined)
})

test('numbers of each preset are those of its name', () => {
  const range = (preset: (typeof IMAGE_PRESETS)[number]): number[] => {
    const { tables } = planImageInput(spec([1, 3, 8, 8]), { preset })
    return [0, 255].map((byte) => Math.round(Number(tables[0]?.[byte]) * 1000) / 1000)
  }
  assert.deepEqual(range('imagenet'), [-2.118, 2.249])
  assert.deepEqual(range('clip'), [-1.792, 1.93])
  assert.deepEqual(range('inception'), [-1, 1])
  assert.deepEqual(range('yolo'), [0, 1])
  assert.deepEqual(range('raw'), [0, 255])
})

test('a preset of fractions is refused for an input of integers', () => {
  const bytes = spec([1, 3, 8, 8], 'UINT8')
  assert.throws(
    () => planImageInput(bytes, { preset: 'imagenet' }),
    failsWith('InvalidModelException', /the mean and std of the preset are fractions; set "mean"/),
  )
  const own: ImageSettings = { preset: 'imagenet', mean: [0], std: [1] }
  assert.equal(planImageInput(bytes, own).tables[0]?.[200], 200)
})
