/** Translates the preprocessing of a model of timm to settings of the image handler. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../../../../../schema.ts'
import type { BaseSettings } from './presets.ts'

const list = { minItems: 1, maxItems: 4 }

/** The part of timm's `pretrained_cfg` that describes images. */
export const TimmConfig = Type.Object({
  input_size: Type.Array(Type.Integer({ minimum: 1, maximum: 8192 }), { minItems: 3, maxItems: 3 }),
  interpolation: stringEnum(['nearest', 'bilinear', 'bicubic', 'lanczos', 'box', 'hamming']),
  crop_pct: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  crop_mode: Type.Optional(stringEnum(['center', 'squash'])),
  mean: Type.Array(Type.Number(), list),
  std: Type.Array(Type.Number({ exclusiveMinimum: 0 }), list),
})
type TimmConfig = Static<typeof TimmConfig>

/** `squash` ignores the aspect ratio. */
export function timmSettings(config: TimmConfig): BaseSettings {
  const {
    input_size: [, height, width],
    interpolation: kernel,
    mean,
    std,
  } = config
  const { crop_pct: cropPct = 0.875, crop_mode: mode = 'center' } = config
  const sides = width === undefined || height === undefined ? {} : { width, height }
  const fit = mode === 'squash' ? 'fill' : 'cover'
  return { settings: { ...sides, fit, cropPct, kernel, mean, std } }
}
