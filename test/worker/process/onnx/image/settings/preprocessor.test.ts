import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planImageInput } from '../../../../../../src/worker/process/onnx/image/plan.ts'
import type { ImagePlan } from '../../../../../../src/worker/process/onnx/image/plan.ts'
import { readPreprocessor } from '../../../../../../src/worker/process/onnx/image/settings/preprocessor.ts'
import { failsWith, spec } from '../../../../../helpers/pictures.ts'

const NORMAL = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] }
const HALVES = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] }

/** The plan for a model that takes any size. */
function planOf(config: object, shape: readonly number[] = [-1, 3, -1, -1]): ImagePlan {
  return planImageInput(spec(shape), {}, readPreprocessor(config))
}

/** Width and height of the input, and the size after resizing. */
function sizesOf(config: object): unknown[] {
  const { geometry } = planOf(config)
  return [geometry.width, geometry.height, geometry.resize]
}

/** The numbers for black and white, for each channel. */
function rangesOf({ tables }: ImagePlan): number[][] {
  return tables.map((table) => [Number(table[0]), Number(table[255])])
}

test('files of well-known models become the plans of their classes', () => {
  const clip = {
    feature_extractor_type: 'CLIPFeatureExtractor',
    size: 224,
    crop_size: 224,
    do_center_crop: true,
    do_resize: true,
    do_normalize: true,
    resample: 3,
    ...NORMAL,
  }
  assert.deepEqual(sizesOf(clip), [224, 224, { shortestEdge: 224 }])
  assert.equal(planOf(clip).kernel, 'bicubic')
  assert.equal(planOf(clip).geometry.cropRounding, 'floor')
  const vit = { image_processor_type: 'ViTImageProcessor', size: 224, resample: 2, ...HALVES }
  assert.deepEqual(sizesOf(vit), [224, 224, { width: 224, height: 224 }])
  assert.equal(planOf(vit).kernel, 'bilinear')
  assert.deepEqual(rangesOf(planOf(vit)), [
    [-1, 1],
    [-1, 1],
    [-1, 1],
  ])
  const deit = { ...vit, size: { height: 256, width: 256 }, do_center_crop: true, crop_size: 224 }
  assert.deepEqual(sizesOf(deit), [224, 224, { width: 256, height: 256 }])
  const detr = {
    image_processor_type: 'DetrImageProcessor',
    size: 800,
    max_size: 1333,
    do_pad: true,
    format: 'coco_detection',
    ...NORMAL,
  }
  const edges = { shortestEdge: 800, longestEdge: 1333 }
  assert.deepEqual(sizesOf(detr), [undefined, undefined, edges])
  const convnext = { image_processor_type: 'ConvNextImageProcessor', ...NORMAL }
  const small = { ...convnext, size: { shortest_edge: 224 }, crop_pct: 0.875 }
  assert.deepEqual(sizesOf(small), [224, 224, { shortestEdge: 256 }])
  const large = { ...convnext, size: { shortest_edge: 384 } }
  assert.deepEqual(sizesOf(large), [384, 384, { width: 384, height: 384 }])
  const sam = {
    image_processor_type: 'SamImageProcessor',
    size: { longest_edge: 1024 },
    do_pad: true,
    pad_size: { height: 1024, width: 1024 },
    ...NORMAL,
  }
  assert.deepEqual(sizesOf(sam), [1024, 1024, { longestEdge: 1024 }])
  assert.deepEqual(planOf(sam).padColor, [124, 116, 104])
  assert.equal(planOf(sam).geometry.padPosition, 'top-left')
  const timm = {
    pretrained_cfg: {
      input_size: [3, 288, 320],
      interpolation: 'bicubic',
      crop_pct: 0.95,
      crop_mode: 'center',
      mean: NORMAL.image_mean,
      std: NORMAL.image_std,
    },
  }
  const { geometry, kernel } = planOf(timm)
  assert.deepEqual(
    [geometry.width, geometry.height, geometry.fit, geometry.cropPct, kernel],
    [320, 288, 'cover', 0.95, 'bicubic'],
  )
})

test('steps that are switched off leave the numbers as they are', () => {
  const config = { do_resize: false, do_rescale: false, do_normalize: false }
  assert.deepEqual(sizesOf(config), [undefined, undefined, {}])
  assert.deepEqual(rangesOf(planOf(config))[0], [0, 255])
  const rescaled = { ...config, do_rescale: true, rescale_factor: 0.5 }
  assert.deepEqual(rangesOf(planOf(rescaled))[0], [0, 127.5])
  assert.equal(planOf({ ...config, do_flip_channel_order: true }).colors, 'bgr')
})

test('keys that are not known are noted, or an error if they switch something on', () => {
  const size = { height: 8, width: 8 }
  const { notes } = readPreprocessor({
    ...HALVES,
    size,
    do_convert_rgb: true,
    do_reduce_labels: false,
    do_thumbnail: false,
    ensure_multiple_of: 1,
    patch_size: 14,
  })
  assert.deepEqual(notes, [
    'preprocessor_config.json: the image handler does not use "patch_size".',
  ])
  const refused: [object, RegExp][] = [
    [{ ...HALVES, size, do_thumbnail: true }, /it sets "do_thumbnail", which is not supported/],
    [{ ...HALVES, size, rescale_offset: true }, /it sets "rescale_offset"/],
    [{ ...HALVES, size, resample: 9 }, /resample: /],
    [{ ...HALVES, size: { max_height: 8, max_width: 8 } }, /size: /],
    [{ ...HALVES, size: 224 }, /size, which means different things .* class "" is not known/],
    [{ ...HALVES }, /do_resize needs size/],
    [{ size }, /do_normalize needs image_mean and image_std/],
    [[], /it is not|Expected object/],
    [
      { ...HALVES, size, image_std: [0, 0, 0] },
      /image_std: Expected number above 0 or array, got \[0,0,0\]/,
    ],
    [
      { ...HALVES, size: { height: 1e9, width: 0 } },
      /object with height and width or object with s/,
    ],
    [{ ...HALVES, size, 'do_\u001b[31m': true }, /it sets \(binary data\), which/],
  ]
  for (const [config, pattern] of refused) {
    assert.throws(() => readPreprocessor(config), failsWith('InvalidModelException', pattern))
  }
})

test('numbers that no input can hold are refused, and many unknown keys are one line', () => {
  const size = { height: 8, width: 8 }
  for (const [config, datatype] of [
    [{ ...HALVES, rescale_factor: 1e308 }, 'FP32'],
    [{ ...HALVES, image_mean: [1e308] }, 'FP32'],
    [{ ...HALVES, image_std: [1e-320] }, 'FP64'],
    [{ ...HALVES, rescale_factor: 300 }, 'FP16'],
  ] as const) {
    assert.throws(
      () => planImageInput(spec([1, 3, 8, 8], datatype), {}, readPreprocessor({ size, ...config })),
      failsWith(
        'InvalidModelException',
        /turn pixels into -?(Infinity|[\d.e+]+), which FP\d+ cannot hold/,
      ),
    )
  }
  const others = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`k${index}`, 1]))
  const { notes } = readPreprocessor({ ...HALVES, size, ...others })
  assert.equal(notes.length, 1)
  assert.match(notes[0] ?? '', /does not use "k0", .*, "k19" and 4980 more\.$/)
})

test('a file that does not suit the size of the input is refused', () => {
  const fixed = [1, 3, 224, 224]
  const clip = { ...NORMAL, size: { shortest_edge: 336 }, crop_size: { height: 336, width: 336 } }
  assert.throws(
    () => planOf(clip, fixed),
    failsWith('InvalidModelException', /preprocessor_config.json sets width to 336/),
  )
  const detr = { ...NORMAL, size: { shortest_edge: 800, longest_edge: 1333 } }
  assert.throws(
    () => planOf(detr, fixed),
    failsWith('InvalidModelException', /keeps the aspect ratio .* set "fit" in "image"/),
  )
  const plan = planImageInput(spec(fixed), { fit: 'contain' }, readPreprocessor(detr))
  assert.deepEqual([plan.geometry.fit, plan.geometry.resize], ['contain', undefined])
  assert.equal(plan.kernel, 'bilinear')
})
