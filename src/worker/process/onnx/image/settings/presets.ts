/** Named settings of the key `preset`. */
import type { ImageSettings } from '../../../../../model-folder/image-settings.ts'

/** A preset, or settings from another file, below those of `model.json`. */
export interface BaseSettings {
  readonly settings: ImageSettings
  /** Width and height if neither the model nor `model.json` has one. */
  readonly size?: number
  /** True if no image is cropped, padded or stretched, so that the sizes of tensors differ. */
  readonly keepsAspect?: boolean
}

type PresetName = NonNullable<ImageSettings['preset']>

const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
const HALVES = { mean: [0.5], std: [0.5] }

const PRESETS: Readonly<Record<PresetName, BaseSettings>> = {
  imagenet: {
    size: 224,
    settings: { fit: 'cover', cropPct: 0.875, kernel: 'bilinear', ...IMAGENET },
  },
  clip: {
    size: 224,
    settings: {
      fit: 'cover',
      kernel: 'bicubic',
      cropRounding: 'floor',
      mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
      std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
    },
  },
  vit: { size: 224, settings: { fit: 'fill', kernel: 'bilinear', ...HALVES } },
  inception: {
    size: 299,
    settings: { fit: 'cover', cropPct: 0.875, kernel: 'bicubic', ...HALVES },
  },
  yolo: {
    size: 640,
    settings: { fit: 'contain', padColor: [114], kernel: 'bilinear', antialias: false },
  },
  detr: {
    settings: {
      resize: { shortestEdge: 800, longestEdge: 1333 },
      kernel: 'bilinear',
      ...IMAGENET,
    },
  },
  unit: { settings: { fit: 'fill', kernel: 'bilinear' } },
  raw: { settings: { fit: 'fill', kernel: 'bilinear', scale: 1 } },
}

/**
 * Returns the preset that the settings name, otherwise `base`, with the settings over it. Settings
 * of `fit` and `cropPct` replace a `resize` below them.
 */
export function withBase(own: ImageSettings, base: BaseSettings = { settings: {} }): BaseSettings {
  const below = own.preset === undefined ? base : PRESETS[own.preset]
  const { resize, ...others } = below.settings
  const isReplaced = own.fit !== undefined || own.cropPct !== undefined
  const kept = isReplaced || resize === undefined ? others : below.settings
  return { ...below, settings: { ...kept, ...own } }
}
