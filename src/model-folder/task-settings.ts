/** `task` in `model.json`: what the outputs of an image model mean. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

export const TaskSettings = Type.Object(
  {
    type: stringEnum(['classification', 'detection', 'segmentation', 'features'], {
      description:
        'What the model does with an image: `classification`, `detection` of objects with boxes, `segmentation` into areas, or `features` (a vector).',
    }),
    format: Type.Optional(
      stringEnum(['yolo', 'yolov5', 'yolov8', 'yolov10', 'ssd', 'detr', 'selected'], {
        description:
          'How a detector writes its detections. Default: derived from the names and shapes of the outputs; if they fit several formats, the load fails.',
      }),
    ),
    boxes: Type.Optional(
      stringEnum(['corners', 'corners-yx', 'centers', 'sizes'], {
        description:
          'Meaning of the four numbers of a box: x1, y1, x2, y2; y1, x1, y2, x2; centre x and y, width, height; or x1, y1, width, height. Default: that of the format.',
      }),
    ),
    normalized: Type.Optional(
      Type.Boolean({
        description:
          'Whether boxes are fractions of the model input, from 0 to 1, instead of pixels of the model input. Default: true for `ssd` and `detr`.',
      }),
    ),
    activation: Type.Optional(
      stringEnum(['none', 'sigmoid', 'softmax'], {
        description:
          'Function that turns the scores of a detector or a mask of one channel into probabilities. Default: `none`; for `detr` derived from the number of labels.',
      }),
    ),
    background: Type.Optional(
      stringEnum(['first', 'last', 'none'], {
        description:
          'The class that stands for "no object". Default: `first` for `ssd`, `last` for `detr` with softmax, `first` for segmentation, else `none`.',
      }),
    ),
    threshold: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'Detections with a score above this value are returned; pixels with a value above it belong to a mask of one channel. Default: 0.5.',
      }),
    ),
    iou: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'Non-maximum suppression: of two boxes that overlap more (intersection over union), only the one with the higher score is returned; 1 returns both. Default: 0.5, or 1 for `detr`, `yolov10` and `selected`.',
      }),
    ),
    perClass: Type.Optional(
      Type.Boolean({
        description:
          'Whether only boxes of the same class suppress each other (default: true), or boxes of any class.',
      }),
    ),
    maxDetections: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: 'Maximum number of detections in one image. Default: 100.',
      }),
    ),
    boxesOutput: Type.Optional(
      Type.String({ description: 'Name of the output with the boxes. Default: found by shape.' }),
    ),
    scoresOutput: Type.Optional(
      Type.String({
        description: 'Name of the output with the scores of the boxes. Default: found by shape.',
      }),
    ),
    labelsOutput: Type.Optional(
      Type.String({
        description:
          'Name of the output with the class numbers of `selected` boxes. Default: found by name and datatype.',
      }),
    ),
    pooling: Type.Optional(
      stringEnum(['mean', 'first'], {
        description:
          'How `features` of several positions [N,positions,D] become one vector: their mean (default), or the first position.',
      }),
    ),
    normalize: Type.Optional(
      Type.Boolean({
        description: 'Scale the vector of `features` to the length 1 (L2). Default: false.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type TaskSettings = Static<typeof TaskSettings>
