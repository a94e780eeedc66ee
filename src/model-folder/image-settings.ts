/** The key `image` of `model.json`: how the image handler prepares images. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

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
