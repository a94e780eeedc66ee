/** Tiny image models with a task in their `model.json`. */
import { floats, integers, node, writeModelFolder } from './onnx-builder.ts'
import type { Constant, ModelSource } from './onnx-builder.ts'

/** A model with these outputs for every image. */
export function constantModel(
  input: readonly [height: number, width: number],
  outputs: Readonly<Record<string, Constant>>,
): ModelSource {
  const names = Object.keys(outputs)
  return {
    inputs: [{ name: 'image', type: 'FP32', shape: [1, 3, ...input] }],
    outputs: Object.entries(outputs).map(([name, { type, shape }]) => ({ name, type, shape })),
    nodes: names.map((name) => node('Identity', [`${name}_values`], name)),
    constants: Object.fromEntries(
      names.map((name) => [`${name}_values`, outputs[name] ?? floats([0], [])]),
    ),
  }
}

/** Writes the models and returns their folders by name. */
export function visionModels(parent: string): Readonly<Record<ModelName, string>> {
  const write = (
    name: ModelName,
    source: ModelSource,
    settings: object,
    files: Readonly<Record<string, string>> = {},
  ): string => {
    const text = JSON.stringify({ handler: 'image', ...settings })
    return writeModelFolder(parent, name, source, { 'model.json': text, ...files })
  }
  const labels = { 'labels.txt': 'cat\ndog\n' }
  return {
    ssd: write('ssd', ssd(), { labels: 'labels.txt', task: { type: 'detection' } }, labels),
    yolo: write('yolo', yolo(), { labels: 'labels.txt', task: { type: 'detection' } }, labels),
    pixels: write(
      'pixels',
      pixels(),
      { labels: 'labels.txt', image: { scale: 1 }, task: { type: 'detection', format: 'yolov10' } },
      labels,
    ),
    segments: write(
      'segments',
      segments(),
      { task: { type: 'segmentation' } },
      { 'config.json': JSON.stringify({ id2label: { 0: 'background', 1: 'sky' } }) },
    ),
    features: write('features', features(), { task: { type: 'features', normalize: true } }),
    hostile: write('hostile', hostile(), { task: { type: 'detection' } }),
  }
}

/** Writes the models of the page docs/vision.md, without the files that its commands write. */
export function documentedModels(parent: string): void {
  const boxes = [0.2, 0.1, 0.6, 0.5, 0.5, 0.5, 1, 0.9]
  const faces = constantModel([8, 8], {
    scores: floats([1, 2, 2], [0.01, 0.99, 0.15, 0.85]),
    boxes: floats([1, 2, 4], boxes),
  })
  writeModelFolder(parent, 'faces', faces)
  writeModelFolder(parent, 'sky', segments([8, 8]))
}

type ModelName = 'ssd' | 'yolo' | 'pixels' | 'segments' | 'features' | 'hostile'

/** Two boxes for two animals each, and two boxes that overlap. */
function ssd(): ModelSource {
  const boxes = [
    [0.1, 0.2, 0.5, 0.6],
    [0.8, 0.5, 1.2, 1.5],
    [0.11, 0.2, 0.5, 0.6],
  ]
  const scores = [
    [0, 0.9, 0.8],
    [0.9, 0.1, 0.7],
    [0, 0.6, 0.7],
  ]
  return constantModel([8, 8], {
    scores: floats([1, 3, 3], scores.flat()),
    boxes: floats([1, 3, 4], boxes.flat()),
  })
}

/** Anchors in columns, as YOLOv8 writes them: centre, size, scores of two classes. */
function yolo(): ModelSource {
  const anchors = 8
  const columns = [
    [6, 4, 8, 4, 0.9, 0.1],
    [6.1, 4, 8, 4, 0.8, 0.1],
  ]
  const rows = Array.from({ length: 6 }, (_, row) =>
    Array.from({ length: anchors }, (_one, anchor) => columns[anchor]?.[row] ?? 0),
  )
  return constantModel([20, 20], { output0: floats([1, 6, anchors], rows.flat()) })
}

/** The pixels of an image of 6×2 pixels are two detections: a box, a score and a class. */
function pixels(): ModelSource {
  return {
    inputs: [{ name: 'image', type: 'FP32', shape: ['N', 1, 2, 6] }],
    outputs: [{ name: 'detections', type: 'FP32', shape: ['N', 2, 6] }],
    nodes: [
      node('Reshape', ['image', 'shape'], 'rows'),
      node('Mul', ['rows', 'factors'], 'detections'),
    ],
    constants: {
      shape: integers(0, 2, 6),
      factors: floats([6], [1, 1, 1, 1, 1 / 64, 1]),
    },
  }
}

/** Scores of two classes: a constant for the dark, and the lightness. */
function segments([height, width] = [2, 4]): ModelSource {
  return {
    inputs: [{ name: 'image', type: 'FP32', shape: ['N', 1, height, width] }],
    outputs: [{ name: 'logits', type: 'FP32', shape: ['N', 2, height, width] }],
    nodes: [
      node('Mul', ['image', 'zero'], 'nothing'),
      node('Add', ['nothing', 'half'], 'dark'),
      node('Concat', ['dark', 'image'], 'logits', { axis: 1 }),
    ],
    constants: { zero: floats([1], [0]), half: floats([1], [0.5]) },
  }
}

function features(): ModelSource {
  return {
    inputs: [{ name: 'image', type: 'FP32', shape: ['N', 1, 2, 2] }],
    outputs: [{ name: 'features', type: 'FP32', shape: ['N', 4] }],
    nodes: [node('Flatten', ['image'], 'features', { axis: 1 })],
  }
}

/** Boxes and scores with numbers that are not finite, without area, or far outside. */
function hostile(): ModelSource {
  const [nan, infinity] = [Number.NaN, Infinity]
  const boxes = [
    [nan, 0, 1, 1],
    [0, 0, infinity, 1],
    [-infinity, -infinity, infinity, infinity],
    [0.5, 0.5, 0.5, 0.9],
    [0.9, 0.9, 0.1, 0.1],
    [5, 5, 6, 6],
    [-3e38, -3e38, 3e38, 3e38],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
  ]
  const scores = [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, nan, infinity]
  return constantModel([4, 4], {
    scores: floats(
      [1, 9, 2],
      scores.flatMap((score) => [0, score]),
    ),
    boxes: floats([1, 9, 4], boxes.flat()),
  })
}
