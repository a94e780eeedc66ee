import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { TaskSettings } from '../../../../../src/model-folder/task-settings.ts'
import type { TensorSpec } from '../../../../../src/worker/process/onnx/tensors/metadata.ts'
import type { Datatype, Tensor } from '../../../../../src/worker/process/onnx/tensors/tensor.ts'
import { detect } from '../../../../../src/worker/process/onnx/vision/detection/detect.ts'
import type { Detection } from '../../../../../src/worker/process/onnx/vision/detection/detect.ts'
import { planDetection } from '../../../../../src/worker/process/onnx/vision/detection/plan.ts'
import type { DetectionPlan } from '../../../../../src/worker/process/onnx/vision/detection/plan.ts'
import type { PixelMap } from '../../../../../src/worker/process/onnx/vision/geometry.ts'
import { failsWith, spec } from '../../../../helpers/pictures.ts'
import { mapOf } from '../../../../helpers/pixel-map.ts'
import { testSeed } from '../../../../helpers/random.ts'

const seed = testSeed()

interface FormatVector {
  readonly name: string
  readonly outputs: Readonly<Record<string, { shape: readonly number[]; data: readonly number[] }>>
  readonly settings: TaskSettings
  readonly classes: number
  readonly expected: readonly { index: number; score: number; box: readonly number[] }[]
}
interface Vectors {
  readonly input: readonly [number, number]
  readonly original: readonly [number, number]
  readonly formats: readonly FormatVector[]
}

function floatTensor(shape: readonly number[], data: Iterable<number>): Tensor {
  return { datatype: 'FP32', shape, data: Float32Array.from(data) }
}

function stretched(
  input: readonly [number, number],
  original: readonly [number, number],
): PixelMap {
  const [width, height] = input
  return mapOf({ width, height, fit: 'fill' }, { width: original[0], height: original[1] })
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `class ${index}`)
}

/** Detections of one image of 100×100 pixels, the size of the model's input. */
function found(plan: DetectionPlan, ...outputs: readonly Tensor[]): readonly Detection[] {
  const [first = []] = detect(plan, outputs, [stretched([100, 100], [100, 100])])
  return first
}

const vectors: Vectors = JSON.parse(
  readFileSync(path.resolve('test/vectors/detections.json'), 'utf8'),
)

for (const [index, { name, outputs, settings, classes, expected }] of vectors.formats.entries()) {
  test(`NumPy finds the same detections, format ${name} (${index})`, () => {
    const datatype = (output: string): Datatype => (output === 'labels' ? 'INT64' : 'FP32')
    const specs = Object.entries(outputs).map(([output, { shape }]) =>
      spec(name === 'selected' ? [-1, ...shape.slice(1)] : shape, datatype(output), output),
    )
    const plan = planDetection(specs, settings, names(classes))
    assert.equal(plan.format, name)
    const tensors = plan.outputNames.map((output): Tensor => {
      const { shape, data } = outputs[output] ?? assert.fail(output)
      return output === 'labels'
        ? { datatype: 'INT64', shape, data: BigInt64Array.from(data, BigInt) }
        : floatTensor(shape, data)
    })
    const [own = []] = detect(plan, tensors, [stretched(vectors.input, vectors.original)])
    assert.deepEqual(
      own.map((one) => [one.index, one.class]),
      expected.map((one) => [one.index, `class ${one.index}`]),
    )
    for (const [place, { score, box }] of expected.entries()) {
      assert.ok(Math.abs((own[place]?.score ?? 0) - score) < 1e-6)
      for (const [edge, value] of box.entries())
        assert.ok(Math.abs((own[place]?.box[edge] ?? NaN) - value) <= 0.006, `${place} ${edge}`)
    }
  })
}

/** The format that is derived from outputs, or the message that says what to declare. */
function formatOf(
  outputs: readonly TensorSpec[],
  settings: Partial<TaskSettings> = {},
  labels: readonly string[] = [],
): string {
  try {
    return planDetection(outputs, { type: 'detection', ...settings }, labels).format
  } catch (error) {
    assert.ok(failsWith('InvalidModelException', /^model\.json: "task": /)(error))
    return 'refused'
  }
}

test('the format is derived from names and shapes where only one fits', () => {
  const one = (...shape: number[]): TensorSpec[] => [spec(shape, 'FP32', 'output0')]
  const two = (boxes: string, scores: string): TensorSpec[] => [
    spec([1, 50, 7], 'FP32', scores),
    spec([1, 50, 4], 'FP32', boxes),
  ]
  const cases: [wanted: string, outputs: readonly TensorSpec[], labels?: readonly string[]][] = [
    ['yolov5', one(1, 25_200, 85)],
    ['yolov5', one(-1, -1, 85), names(80)],
    ['yolov5', one(1, 25_200, 6), ['car']],
    ['yolov8', one(1, 84, 8400)],
    ['yolov8', one(-1, 84, -1), names(80)],
    ['yolov8', one(1, 8400, 84), names(80)],
    ['yolov8', one(1, 5, 8400), ['car']],
    ['yolov10', one(1, 300, 6), names(80)],
    ['refused', one(1, 300, 6)],
    ['refused', one(1, 300, 6), ['car']],
    ['refused', one(-1, -1, -1)],
    ['refused', one(1, 84, 8400), names(3)],
    ['refused', one(1, 84)],
    ['ssd', two('boxes', 'scores')],
    ['ssd', two('bboxes', 'class_conf')],
    ['ssd', two('a', 'scores')],
    ['detr', two('pred_boxes', 'logits'), names(6)],
    ['detr', two('pred_boxes', 'pred_logits'), names(7)],
    ['refused', two('pred_boxes', 'logits')],
    ['detr', [...two('pred_boxes', 'logits'), spec([1, 50, 256], 'FP32', 'last')], names(6)],
    ['ssd', [...two('boxes', 'scores'), spec([1, 50, 10], 'FP32', 'landmarks')]],
    ['refused', [...two('boxes', 'a'), spec([1, 50, 10], 'FP32', 'b')]],
    ['refused', two('a', 'b')],
    ['selected', [spec([-1, 4], 'FP32', 'a'), spec([-1], 'INT64', 'b'), spec([-1], 'FP32', 'c')]],
    [
      'selected',
      [
        spec([1, 100, 4], 'FP32', 'detection_boxes'),
        spec([1, 100], 'FP32', 'detection_classes'),
        spec([1, 100], 'FP32', 'detection_scores'),
        spec([1], 'FP32', 'num_detections'),
      ],
    ],
    ['refused', [spec([1, 9], 'FP32', 'a'), spec([1, 3], 'FP32', 'b')]],
    ['refused', []],
  ]
  for (const [wanted, outputs, labels] of cases) {
    const text = outputs.map(({ name, shape }) => `${name} [${shape.join(',')}]`).join(' ')
    assert.equal(formatOf(outputs, {}, labels), wanted, `${text}, ${labels?.length ?? 0} labels`)
  }
})

test('settings decide where names and shapes do not, and say what is missing', () => {
  const pair = [spec([1, 9, 4], 'FP32', 'a'), spec([1, 9, 4], 'FP32', 'b')]
  const named = { boxesOutput: 'b', scoresOutput: 'a' }
  assert.equal(formatOf(pair, { format: 'ssd', ...named }), 'ssd')
  assert.equal(formatOf([spec([-1, -1, -1])], { format: 'yolov8' }), 'yolov8')
  assert.equal(formatOf([spec([1, 300, 6])], { format: 'yolov10' }), 'yolov10')
  const refused: [readonly TensorSpec[], Partial<TaskSettings>, readonly string[], RegExp][] = [
    [pair, { format: 'ssd' }, [], /set "boxesOutput" to the output with the boxes/],
    [pair, { format: 'ssd', ...named, boxesOutput: 'c' }, [], /no output "c"; the model has "a"/],
    [pair, {}, [], /set "format" to yolov5, yolov8, yolov10, ssd, detr or selected/],
    [pair, { format: 'ssd', ...named }, ['x'], /"a" has 4 classes, but there are 1 labels/],
    [pair, { format: 'detr', ...named }, [], /set "activation" to "softmax" if/],
    [[spec([1, 300, 6])], {}, [], /yolov10 for \[N,detections,6\]/],
    [[spec([-1, 4]), spec([-1], 'INT64', 'n')], { format: 'selected' }, [], /set "scoresOutput"/],
    [[spec([1, 9, 4]), spec([2], 'FP32', 'x')], { format: 'yolov8' }, [], /set "output"/],
  ]
  for (const [outputs, settings, labels, pattern] of refused) {
    assert.throws(
      () => planDetection(outputs, { type: 'detection', ...settings }, labels),
      failsWith('InvalidModelException', pattern),
    )
  }
})

test('the background class is skipped, and labels count with or without it', () => {
  const specs = [spec([1, 1, 3], 'FP32', 'scores'), spec([1, 1, 4], 'FP32', 'boxes')]
  const boxes = floatTensor([1, 1, 4], [0.1, 0.2, 0.3, 0.4])
  const first = (
    settings: Partial<TaskSettings>,
    labels: readonly string[],
    ...scores: readonly number[]
  ): readonly unknown[] => {
    const plan = planDetection(specs, { type: 'detection', ...settings }, labels)
    return found(plan, boxes, floatTensor([1, 1, 3], scores)).map(({ class: label, index }) => [
      label,
      index,
    ])
  }
  assert.deepEqual(first({}, ['a', 'b'], 0.9, 0.1, 0), [])
  assert.deepEqual(first({}, ['a', 'b'], 0, 0.6, 0.7), [
    ['b', 1],
    ['a', 0],
  ])
  assert.deepEqual(first({}, ['background', 'a', 'b'], 0.9, 0, 0.7), [['b', 2]])
  assert.deepEqual(first({}, ['__background__', 'a', 'b'], 0.9, 0.8, 0), [['a', 1]])
  assert.deepEqual(first({}, ['a', 'b', 'c'], 0.9, 0.1, 0.1), [['a', 0]])
  assert.deepEqual(first({}, [], 0.9, 0.1, 0.8), [['2', 2]])
  assert.deepEqual(first({ background: 'last' }, ['a', 'b'], 0.8, 0.1, 0.9), [['a', 0]])
  assert.deepEqual(first({ background: 'none' }, [], 0.8, 0.1, 0.1), [['0', 0]])
})

test('boxes have the declared form and unit', () => {
  const specs = [spec([1, 1, 2], 'FP32', 'scores'), spec([1, 1, 4], 'FP32', 'boxes')]
  const scores = floatTensor([1, 1, 2], [0, 0.9])
  const box = (settings: Partial<TaskSettings>, ...numbers: readonly number[]): unknown => {
    const plan = planDetection(specs, { type: 'detection', ...settings }, [])
    return found(plan, floatTensor([1, 1, 4], numbers), scores)[0]?.box
  }
  const wanted = [10, 20, 40, 60]
  assert.deepEqual(box({}, 0.1, 0.2, 0.4, 0.6), wanted)
  assert.deepEqual(box({ normalized: false }, 10, 20, 40, 60), wanted)
  assert.deepEqual(box({ boxes: 'corners-yx' }, 0.2, 0.1, 0.6, 0.4), wanted)
  assert.deepEqual(box({ boxes: 'centers' }, 0.25, 0.4, 0.3, 0.4), wanted)
  assert.deepEqual(box({ boxes: 'sizes', normalized: false }, 10, 20, 30, 40), wanted)
  assert.deepEqual(box({}, -0.5, 0.2, 0.4, 1.5), [0, 20, 40, 100])
})

test('a detector with its own selection may say how many boxes are valid', () => {
  const specs = [
    spec([1, 3, 4], 'FP32', 'detection_boxes'),
    spec([1, 3], 'FP32', 'detection_classes'),
    spec([1, 3], 'FP32', 'detection_scores'),
    spec([1], 'FP32', 'num_detections'),
  ]
  const settings = { type: 'detection', boxes: 'corners-yx', normalized: true } as const
  const plan = planDetection(specs, { ...settings, background: 'first' }, ['a', 'b'])
  const box = [0.2, 0.1, 0.6, 0.4]
  const outputs = {
    detection_boxes: floatTensor([1, 3, 4], [...box, ...box, ...box]),
    detection_classes: floatTensor([1, 3], [2, 0, 1]),
    detection_scores: floatTensor([1, 3], [0.9, 0.8, 0.7]),
    num_detections: floatTensor([1], [2]),
  }
  const tensors = plan.outputNames.map((name) => Reflect.get(outputs, name) as Tensor)
  assert.deepEqual(found(plan, ...tensors), [
    { class: 'b', index: 1, score: 0.9, box: [10, 20, 40, 60] },
  ])
})

test('several images share the outputs of a run', () => {
  const plan = planDetection([spec([-1, 2, 6])], { type: 'detection', format: 'yolov10' }, [])
  const output = floatTensor(
    [2, 2, 6],
    [1, 2, 3, 4, 0.9, 0, 0, 0, 9, 9, 0.1, 0, 5, 6, 7, 8, 0.8, 1, 5, 6, 7, 9, 0.7, 1],
  )
  const maps = [stretched([10, 10], [10, 10]), stretched([10, 10], [20, 100])]
  const boxes = detect(plan, [output], maps).map((image) => image.map(({ box }) => box))
  assert.deepEqual(boxes, [
    [[1, 2, 3, 4]],
    [
      [10, 60, 14, 80],
      [10, 60, 14, 90],
    ],
  ])
  assert.throws(
    () => detect(plan, [output], maps.slice(0, 1)),
    failsWith('InternalServerException', /an output of shape \[2,2,6\] for 1 image\./),
  )
  assert.throws(
    () => detect(plan, [output], [...maps, ...maps]),
    failsWith('InvalidInputException', /for 4 images, so it takes one image in a request/),
  )
})

test(`any numbers give valid detections, ONNXD_TEST_SEED=${seed}`, () => {
  const specs = [spec([1, -1, 3], 'FP32', 'scores'), spec([1, -1, 4], 'FP32', 'boxes')]
  const odd = fc.oneof(
    fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 1, -1, 3e38, -3e38, 1e-45, 0.5),
    fc.float(),
    fc.float({ min: -2, max: 2, noNaN: true }),
  )
  const property = fc.property(
    fc.array(fc.array(odd, { minLength: 7, maxLength: 7 }), { maxLength: 12 }),
    fc.constantFrom('corners', 'corners-yx', 'centers', 'sizes'),
    fc.constantFrom('none', 'sigmoid', 'softmax'),
    fc.constantFrom('ssd', 'detr'),
    (anchors, boxes, activation, format) => {
      const settings = { type: 'detection', format, boxes, activation, threshold: 0 } as const
      const plan = planDetection(specs, settings, [])
      const boxData = anchors.flatMap((anchor) => anchor.slice(0, 4))
      const scoreData = anchors.flatMap((anchor) => anchor.slice(4))
      const detections = found(
        plan,
        floatTensor([1, anchors.length, 4], boxData),
        floatTensor([1, anchors.length, 3], scoreData),
      )
      assert.deepEqual(JSON.parse(JSON.stringify(detections)), detections)
      for (const { box, score } of detections) {
        const [left, top, right, bottom] = box
        assert.ok(left >= 0 && top >= 0 && left < right && top < bottom, box.join())
        assert.ok(right <= 100 && bottom <= 100 && score >= 0, box.join())
      }
    },
  )
  fc.assert(property, { seed, numRuns: 500 })
})

test('a million anchors that all pass the threshold take a bounded time', () => {
  const anchors = 1_000_000
  const plan = planDetection(
    [spec([1, 5, anchors])],
    { type: 'detection', format: 'yolov8', threshold: 0, maxDetections: 1000 },
    [],
  )
  // Small boxes on a line: each one overlaps its neighbours only.
  const data = new Float32Array(5 * anchors)
  for (let anchor = 0; anchor < anchors; anchor++) {
    data[anchor] = (anchor % 9973) / 100
    data[anchors + anchor] = 50
    data[2 * anchors + anchor] = 0.02
    data[3 * anchors + anchor] = 5
    data[4 * anchors + anchor] = (anchor + 1) / anchors
  }
  const started = performance.now()
  const output = { datatype: 'FP32', shape: [1, 5, anchors], data } as const
  assert.equal(found(plan, output).length, 1000)
  assert.ok(performance.now() - started < 20_000)
  assert.deepEqual(found(plan, floatTensor([1, 5, 0], [])), [])
})

test('outputs of other shapes than the format needs are errors, and never boxes', () => {
  const open = [-1, -1, -1]
  const boxes = spec(open, 'FP32', 'boxes')
  const scores = spec(open, 'FP32', 'scores')
  const cases: readonly (readonly [
    format: NonNullable<TaskSettings['format']>,
    specs: readonly TensorSpec[],
    shapes: readonly (readonly number[])[],
    pattern: RegExp,
  ])[] = [
    ['yolov8', [scores], [[1, 84]], /shape \[1,84\], but its task needs \[N,anchors,numbers\]/],
    ['yolov10', [scores], [[1, 2, 7]], /shape \[1,2,7\], but its task needs \[N,detections,6\]/],
    [
      'ssd',
      [boxes, scores],
      [
        [1, 3, 5],
        [1, 3, 2],
      ],
      /needs \[N,anchors,4\]/,
    ],
    [
      'ssd',
      [boxes, scores],
      [
        [1, 3, 4],
        [1, 2, 2],
      ],
      /shape \[1,2,2\], .* needs \[N,3,classes\]/,
    ],
    [
      'ssd',
      [boxes, scores],
      [
        [1, 3, 4],
        [1, 6],
      ],
      /needs \[N,3,classes\]/,
    ],
  ]
  for (const [format, specs, shapes, pattern] of cases) {
    const settings = {
      type: 'detection',
      format,
      boxesOutput: 'boxes',
      scoresOutput: 'scores',
    } as const
    const plan = planDetection(specs, settings, ['cat', 'dog'])
    const outputs = shapes.map((shape) =>
      floatTensor(
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.9),
      ),
    )
    assert.throws(() => found(plan, ...outputs), failsWith('InternalServerException', pattern))
  }
  assert.throws(
    () => planDetection([spec([1, 300, 7])], { type: 'detection', format: 'yolov10' }, []),
    failsWith(
      'InvalidModelException',
      /does not show the format .* yolov10 for \[N,detections,6\]/,
    ),
  )
})
