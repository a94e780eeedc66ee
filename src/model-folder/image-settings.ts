/** The key `image` of `model.json`: how the image handler prepares images. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

/** Names of the presets. */
export const IMAGE_PRESETS = [
  'imagenet',
  'clip',
  'vit',
  'inception',
  'yolo',
  'detr',
  'unit',
  'raw',
] as const

/** Values for inputs other than the image. */
export const IMAGE_FACTS = [
  'height-width',
  'width-height',
  'resized-height-width',
  'input-height-width',
  'scale',
  'mask',
] as const

const side = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 8192, description }))
const perChannel = (options: object, description: string) =>
  Type.Optional(Type.Array(Type.Number(options), { minItems: 1, maxItems: 4, description }))

/** How the image handler turns an image into the model's input tensor. */
export const ImageSettings = Type.Object(
  {
    preset: Type.Optional(
      stringEnum(IMAGE_PRESETS, {
        description:
          'Named settings, which all other keys override. See [Images](images.md#presets).',
      }),
    ),
    input: Type.Optional(
      Type.String({
        description:
          'Name of the input that takes the image. Default: the only input that `inputs` does not name.',
      }),
    ),
    width: side('Width in pixels. Default: the width of the model input.'),
    height: side('Height in pixels. Default: the height of the model input.'),
    layout: Type.Optional(
      stringEnum(['NCHW', 'NHWC', 'CHW', 'HWC'], {
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
          'How an image is resized: `fill` stretches it (default), `cover` crops the centre, `contain` pads it.',
      }),
    ),
    cropPct: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1,
        description:
          'With `fill` and `cover`: resize to the input size divided by this number, then crop the centre. Default: 1.',
      }),
    ),
    resize: Type.Optional(
      Type.Object(
        {
          width: side('Width in pixels after resizing; needs the height.'),
          height: side('Height in pixels after resizing; needs the width.'),
          shortestEdge: side('Shorter side in pixels after resizing.'),
          longestEdge: side(
            'Longer side in pixels after resizing; its maximum if the shortest edge is set.',
          ),
        },
        {
          additionalProperties: false,
          description:
            'Size before the centre is cropped or padded to the input size, instead of `fit` and `cropPct`.',
        },
      ),
    ),
    cropRounding: Type.Optional(
      stringEnum(['even', 'floor'], {
        description:
          'Where the crop starts if half a pixel is left: `even` rounds as torchvision (default), `floor` as Hugging Face.',
      }),
    ),
    padPosition: Type.Optional(
      stringEnum(['center', 'top-left'], {
        description: 'Where a padded image lies. Default: `center`.',
      }),
    ),
    padColor: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 255 }), {
        minItems: 1,
        maxItems: 3,
        description: 'Colour of the padding: one value, or red, green and blue. Default: black.',
      }),
    ),
    kernel: Type.Optional(
      stringEnum(['fast', 'nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'], {
        description:
          'Resize filter, with the results of Pillow. `fast` (default) is a Lanczos filter that is faster for large images, but less exact.',
      }),
    ),
    antialias: Type.Optional(
      Type.Boolean({
        description:
          'Widen the filter when an image is reduced (default). `false` is for models whose images OpenCV resized.',
      }),
    ),
    alpha: Type.Optional(
      stringEnum(['ignore', 'black', 'white'], {
        description:
          'Transparent pixels: `ignore` keeps their colours, as in Pillow (default); else they are drawn on this colour.',
      }),
    ),
    colorProfile: Type.Optional(
      stringEnum(['ignore', 'apply'], {
        description:
          'Colour profile of the file: `ignore`, as in Pillow (default), or `apply`, which converts to sRGB.',
      }),
    ),
    orientation: Type.Optional(
      stringEnum(['apply', 'ignore'], {
        description: 'EXIF orientation of the file. Default: `apply`.',
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
    mean: perChannel({}, 'Mean to subtract after scaling: one value, or one for each channel.'),
    std: perChannel(
      { exclusiveMinimum: 0 },
      'Standard deviation to divide by after the mean is subtracted: one value, or one for each channel.',
    ),
    inputs: Type.Optional(
      Type.Record(Type.String(), stringEnum(IMAGE_FACTS), {
        description:
          'What other inputs get, by name: a size, the resize scale or the mask. See [Images](images.md#inputs-besides-the-image).',
      }),
    ),
  },
  { additionalProperties: false },
)
export type ImageSettings = Static<typeof ImageSettings>
