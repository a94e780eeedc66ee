/**
 * `model.json`, the optional file beside a model. Both processes read it: the front-end for workers
 * and batching, the worker for handler, labels, preprocessing and session options.
 */
import { Type } from '@sinclair/typebox'
import type {
  NumberOptions,
  SchemaOptions,
  Static,
  TLiteral,
  TNumber,
  TUnion,
} from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

export { MODEL_SETTINGS_FILE } from './paths.ts'

/** Each level costs one list per model version. */
export const MAX_PRIORITY_LEVELS = 1000

/** Each worker is a process. */
export const MAX_WORKERS = 256

/** Milliseconds that a batch may wait to fill. `auto` waits as long as waiting saves time. */
export type BatchDelay = number | 'auto'

/**
 * Whether requests share runs of a model: if the graph proves that no result changes, always, or
 * never.
 */
export const JOIN_BATCHES = ['auto', 'always', 'never'] as const
export type JoinBatches = (typeof JOIN_BATCHES)[number]

/** Returns the schema of a {@link BatchDelay}. */
export function batchDelay(
  options: SchemaOptions,
  limits: NumberOptions = {},
): TUnion<[TNumber, TLiteral<'auto'>]> {
  return Type.Union([Type.Number({ minimum: 0, ...limits }), Type.Literal('auto')], options)
}

/** How the image handler turns an image into the model's input tensor. */
export const ImageSettings = Type.Object(
  {
    width: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 8192,
        description: 'Pixels; the input’s own width when absent.',
      }),
    ),
    height: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 8192,
        description: 'Pixels; the input’s own height when absent.',
      }),
    ),
    layout: Type.Optional(
      stringEnum(['NCHW', 'NHWC'], {
        description: 'Axis order of the input; guessed from its shape when absent.',
      }),
    ),
    colors: Type.Optional(
      stringEnum(['rgb', 'bgr', 'grayscale'], {
        description: 'Channels; grayscale when the input has one channel, else rgb.',
      }),
    ),
    fit: Type.Optional(
      stringEnum(['fill', 'cover', 'contain'], {
        description: 'Stretch (default), crop the centre, or pad with black.',
      }),
    ),
    invert: Type.Optional(
      Type.Boolean({
        description: 'Take 255 minus each value first (dark on light to light on dark).',
      }),
    ),
    scale: Type.Optional(
      Type.Number({
        description:
          'Each 0–255 value is multiplied by this; default 1/255, or 1 where the input takes integers.',
      }),
    ),
    mean: Type.Optional(
      Type.Array(Type.Number(), {
        minItems: 1,
        maxItems: 4,
        description: 'Subtracted after scaling: one value, or one per channel.',
      }),
    ),
    std: Type.Optional(
      Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
        minItems: 1,
        maxItems: 4,
        description: 'Divides after the mean is subtracted.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type ImageSettings = Static<typeof ImageSettings>

export const ModelSettings = Type.Object(
  {
    handler: Type.Optional(
      Type.String({
        description:
          '`onnx` (default), `image`, or `module.js:function` or `module.py:function` of the model’s own code.',
      }),
    ),
    model: Type.Optional(
      Type.String({ description: 'Name of the `.onnx` file when the folder holds several.' }),
    ),
    version: Type.Optional(
      Type.String({ description: 'Version to register under; `1.0` when absent.' }),
    ),
    pythonWorker: Type.Optional(
      stringEnum(['mms', 'torchserve'], {
        description:
          'Whose worker runs a Python handler; as the manifest was written when absent, else the one that is installed.',
      }),
    ),
    labels: Type.Optional(
      Type.String({ description: 'File with one class label a line, in class order.' }),
    ),
    topK: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1000, description: 'Classes in an answer; default 5.' }),
    ),
    softmax: Type.Optional(
      Type.Boolean({ description: 'Turn the output into probabilities before ranking.' }),
    ),
    output: Type.Optional(
      Type.String({
        description:
          'Output that holds the class scores; the only float output [N,classes] when absent.',
      }),
    ),
    image: Type.Optional(ImageSettings),
    workers: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_WORKERS })),
    batchSize: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
    maxBatchSize: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 2 ** 31 - 1,
        description:
          'Rows of one request at most, in a first dimension that the model leaves open; 0 for any number.',
      }),
    ),
    maxBatchDelay: Type.Optional(
      batchDelay({
        description: 'Milliseconds to wait for a batch to fill; `auto` waits as long as it pays.',
      }),
    ),
    joinBatches: Type.Optional(
      stringEnum(JOIN_BATCHES, {
        description:
          'Whether the requests of a batch share one run of the model: `auto` where the graph proves that it changes no result, `always`, or `never`.',
      }),
    ),
    priorityLevels: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Levels of priority that requests can have; 1 for none.',
      }),
    ),
    defaultPriorityLevel: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Level of requests that name none; 0 for the middle one.',
      }),
    ),
    threads: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
    graphOptimization: Type.Optional(stringEnum(['disabled', 'basic', 'extended', 'all'])),
    providers: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    warmUp: Type.Optional(
      Type.Boolean({ description: 'Run the network once on zeros before it is called ready.' }),
    ),
    idempotent: Type.Optional(
      Type.Boolean({ description: 'The model’s own code may be run twice for one request.' }),
    ),
  },
  { additionalProperties: false },
)
export type ModelSettings = Static<typeof ModelSettings>
