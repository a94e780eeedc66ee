/**
 * `model.json`, the optional file beside a model. Both processes read it: the front-end for workers
 * and batching, the worker for handler, labels, preprocessing and session options.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'
import { FILE_PROPERTIES } from './version-settings.ts'

export { MODEL_SETTINGS_FILE } from './paths.ts'

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
    ...FILE_PROPERTIES,
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
