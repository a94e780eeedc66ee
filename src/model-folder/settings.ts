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
        description: 'Width in pixels. Default: the width of the model input.',
      }),
    ),
    height: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 8192,
        description: 'Height in pixels. Default: the height of the model input.',
      }),
    ),
    layout: Type.Optional(
      stringEnum(['NCHW', 'NHWC'], {
        description: 'Axis order of the model input. Default: derived from its shape.',
      }),
    ),
    colors: Type.Optional(
      stringEnum(['rgb', 'bgr', 'grayscale'], {
        description:
          'Channel order. Default: `grayscale` if the model input has one channel, else `rgb`.',
      }),
    ),
    fit: Type.Optional(
      stringEnum(['fill', 'cover', 'contain'], {
        description:
          'How an image is resized: `stretch` (default), `crop` the centre, or `pad` with black.',
      }),
    ),
    invert: Type.Optional(
      Type.Boolean({
        description: 'Invert the image: replace each value by 255 minus the value, before scaling.',
      }),
    ),
    scale: Type.Optional(
      Type.Number({
        description:
          'Factor for each value from 0 to 255. Default: 1/255, or 1 if the model input takes integers.',
      }),
    ),
    mean: Type.Optional(
      Type.Array(Type.Number(), {
        minItems: 1,
        maxItems: 4,
        description: 'Mean to subtract after scaling: one value, or one for each channel.',
      }),
    ),
    std: Type.Optional(
      Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
        minItems: 1,
        maxItems: 4,
        description:
          'Standard deviation to divide by after the mean is subtracted: one value, or one for each channel.',
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
          '`onnx` (default), `image`, or a custom handler: `module.js:function` or `module.py:function`.',
      }),
    ),
    model: Type.Optional(
      Type.String({
        description: 'Name of the `.onnx` file. Needed if the folder contains several.',
      }),
    ),
    version: Type.Optional(Type.String({ description: 'Version of the model. Default: `1.0`.' })),
    pythonWorker: Type.Optional(
      stringEnum(['mms', 'torchserve'], {
        description:
          'Python worker that runs the handler: that of MMS or of TorchServe. Default: the one that the manifest was written for, else the one that is installed.',
      }),
    ),
    labels: Type.Optional(
      Type.String({ description: 'File with the class labels, one on each line, in class order.' }),
    ),
    topK: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: 'Number of classes in a response. Default: 5.',
      }),
    ),
    softmax: Type.Optional(
      Type.Boolean({
        description: 'Apply softmax to the class scores, so that responses contain probabilities.',
      }),
    ),
    output: Type.Optional(
      Type.String({
        description:
          'Name of the output with the class scores. Default: the only float output of shape [N,classes].',
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
          'Maximum batch dimension of one request, if the first dimension of the model is open; 0 means no limit.',
      }),
    ),
    maxBatchDelay: Type.Optional(
      batchDelay({
        description:
          'Milliseconds to wait for a batch to fill. `auto` waits only while measured run times show a gain.',
      }),
    ),
    joinBatches: Type.Optional(
      stringEnum(JOIN_BATCHES, {
        description:
          'Whether requests of a batch are joined into one run of the model. `auto` joins if the graph proves that no result changes; `always` joins without a proof; `never` runs each request alone.',
      }),
    ),
    priorityLevels: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Number of priority levels; level 1 is served first. 1 disables priorities.',
      }),
    ),
    defaultPriorityLevel: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Priority of requests that do not set one; 0 means the middle level.',
      }),
    ),
    threads: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
    graphOptimization: Type.Optional(stringEnum(['disabled', 'basic', 'extended', 'all'])),
    providers: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    warmUp: Type.Optional(
      Type.Boolean({
        description:
          'Run the model once on zeros while it loads, so that the first request is not slower than the others.',
      }),
    ),
    loadOnDemand: Type.Optional(
      Type.Boolean({
        description:
          'Load the model when its first request comes, and unload it when memory is needed for other models.',
      }),
    ),
    pinned: Type.Optional(
      Type.Boolean({ description: 'Once loaded on demand, never unload the model for others.' }),
    ),
    idempotent: Type.Optional(
      Type.Boolean({
        description:
          'Allow the custom handler to run twice for one request: if its worker dies, the request is retried.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type ModelSettings = Static<typeof ModelSettings>
