/**
 * Translates `preprocessor_config.json`, the file in which Hugging Face keeps the preprocessing of
 * a model, to settings of the image handler.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../../../../../errors.ts'
import type { ImageSettings } from '../../../../../model-folder/image-settings.ts'
import { PREPROCESSOR_FILE } from '../../../../../model-folder/paths.ts'
import { fits, problemWith } from '../../../../../schema.ts'
import { quote } from '../../tensors/error-text.ts'
import type { BaseSettings } from './presets.ts'
import { TimmConfig, timmSettings } from './timm.ts'

const Side = Type.Integer({ minimum: 1, maximum: 8192 })
const Size = Type.Union([
  Side,
  Type.Object({ height: Side, width: Side }, { additionalProperties: false }),
  Type.Object(
    { shortest_edge: Side, longest_edge: Type.Optional(Side) },
    { additionalProperties: false },
  ),
  Type.Object({ longest_edge: Side }, { additionalProperties: false }),
])
const Numbers = Type.Array(Type.Number(), { minItems: 1, maxItems: 4 })
const Deviation = Type.Number({ exclusiveMinimum: 0 })
const Deviations = Type.Array(Deviation, { minItems: 1, maxItems: 4 })
const flag = Type.Optional(Type.Boolean())

/** The keys that are translated. */
const Config = Type.Object({
  image_processor_type: Type.Optional(Type.String()),
  feature_extractor_type: Type.Optional(Type.String()),
  do_resize: flag,
  size: Type.Optional(Size),
  max_size: Type.Optional(Side),
  resample: Type.Optional(Type.Integer({ minimum: 0, maximum: 5 })),
  do_center_crop: flag,
  crop_size: Type.Optional(Size),
  crop_pct: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  do_rescale: flag,
  rescale_factor: Type.Optional(Type.Number()),
  do_normalize: flag,
  image_mean: Type.Optional(Type.Union([Type.Number(), Numbers])),
  image_std: Type.Optional(Type.Union([Deviation, Deviations])),
  do_pad: flag,
  pad_size: Type.Optional(Size),
  do_flip_channel_order: flag,
  do_grayscale: flag,
})
type Config = Static<typeof Config>
type Size = Static<typeof Size>

/** Keys that do not change the numbers, or only those of annotations and results. */
const HARMLESS = new Set([
  'processor_class',
  '_valid_processor_keys',
  'auto_map',
  'data_format',
  'input_data_format',
  'return_tensors',
  'device',
  'disable_grouping',
  'default_to_square',
  'do_convert_rgb',
  'do_convert_annotations',
  'do_reduce_labels',
  'reduce_labels',
  'format',
  'num_labels',
  'image_seq_length',
  'transformers_version',
  '_processor_class',
])
/** Values of `resample`, which are those of Pillow. */
const KERNELS = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const
/** Classes whose `size`, if it is one number, is both sides. */
const SQUARE = /^(?:ViT|DeiT|Beit|Segformer|DPT|ViTHybrid|Siglip|Mask2?Former|Dinov2)/i
/** Classes whose `size`, if it is one number, is the shortest edge. */
const SHORTEST =
  /^(?:CLIP|ChineseCLIP|Detr|ConditionalDetr|DeformableDetr|Yolos|ConvNext|PoolFormer|Bit|MobileNet|MobileViT)/i

/** Names of unused keys in the log. */
const MAX_NOTED = 20

/** The settings, and sentences for the log about keys that are not used. */
export interface PreprocessorSettings extends BaseSettings {
  readonly notes: readonly string[]
}

/**
 * Translates the content of the file.
 * @throws ServerError `InvalidModelException` for a value that the image handler cannot follow.
 */
export function readPreprocessor(value: unknown): PreprocessorSettings {
  const timm = timmPart(value)
  if (fits(TimmConfig, timm)) return { ...timmSettings(timm), notes: [] }
  if (!fits(Config, value)) throw problem(problemWith(Config, value) ?? 'it is not an object')
  const type = value.image_processor_type ?? value.feature_extractor_type ?? ''
  const notes = checkOtherKeys(value)
  const sizes = sizeSettings(value, type)
  return {
    ...sizes,
    settings: { ...sizes.settings, ...kernelOf(value), ...numberSettings(value) },
    notes,
  }
}

/** The settings of timm, which stand under `pretrained_cfg` or alone. */
function timmPart(value: unknown): unknown {
  const isNested = typeof value === 'object' && value !== null && 'pretrained_cfg' in value
  return isNested ? value.pretrained_cfg : value
}

/** Keys that switch on a step that is not known would change the numbers. */
function checkOtherKeys(value: object): readonly string[] {
  const unused: string[] = []
  for (const [key, entry] of Object.entries(value)) {
    if (key in Config.properties || HARMLESS.has(key)) continue
    if (entry === null || entry === false) continue
    const switches = /^do_|^keep_aspect_ratio$|^rescale_offset$|^include_top$/
    if (switches.test(key)) throw problem(`it sets ${quote(key)}, which is not supported`)
    if (key === 'ensure_multiple_of' && entry === 1) continue
    unused.push(quote(key))
  }
  if (unused.length === 0) return []
  const more = unused.length - MAX_NOTED
  const names = unused.slice(0, MAX_NOTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
  return [`${PREPROCESSOR_FILE}: the image handler does not use ${names}.`]
}

function numberSettings(config: Config): ImageSettings {
  const { do_rescale: rescales = true, do_normalize: normalizes = true } = config
  const { rescale_factor: factor = 1 / 255, image_mean: mean, image_std: std } = config
  const scale = rescales ? factor : 1
  const colors = config.do_grayscale === true ? 'grayscale' : 'bgr'
  const isOther = config.do_grayscale === true || config.do_flip_channel_order === true
  const order: ImageSettings = isOther ? { colors } : {}
  if (!normalizes) return { ...order, scale, mean: [0], std: [1] }
  if (mean === undefined || std === undefined)
    throw problem('do_normalize needs image_mean and image_std')
  return { ...order, scale, mean: [mean].flat(), std: [std].flat() }
}

function kernelOf({ resample = 2 }: Config): ImageSettings {
  return { kernel: KERNELS[resample] ?? 'bilinear', cropRounding: 'floor' }
}

function sizeSettings(config: Config, type: string): BaseSettings {
  const { do_resize: resizes = true, do_center_crop: crops = config.crop_size !== undefined } =
    config
  const crop = crops ? cropOf(config) : undefined
  if (!resizes) return { settings: { resize: {}, ...crop }, keepsAspect: crop === undefined }
  if (config.size === undefined) throw problem('do_resize needs size')
  const size = sizeOf(config.size, type, config.max_size)
  const { shortest_edge: shortest, longest_edge: longest } = size
  if (/^ConvNext/i.test(type) && shortest !== undefined) return convNext(shortest, config)
  if (size.width !== undefined && size.height !== undefined) {
    const { width, height } = size
    return { settings: { resize: { width, height }, width, height, ...crop } }
  }
  const resize = {
    // LeViT enlarges the shortest edge.
    ...(shortest === undefined
      ? {}
      : { shortestEdge: /^Levit/i.test(type) ? Math.trunc((256 / 224) * shortest) : shortest }),
    ...(longest === undefined ? {} : { longestEdge: longest }),
  }
  if (crop !== undefined) return { settings: { resize, ...crop } }
  return config.do_pad === true && config.pad_size !== undefined
    ? { settings: { resize, ...padTo(config.pad_size, config) } }
    : { settings: { resize }, keepsAspect: true }
}

/** Below 384 pixels ConvNeXT crops, from there on it stretches. */
function convNext(shortest: number, { crop_pct: cropPct = 224 / 256 }: Config): BaseSettings {
  const side = { width: shortest, height: shortest }
  const resize = shortest < 384 ? { shortestEdge: Math.trunc(shortest / cropPct) } : side
  return { settings: { resize, ...side } }
}

function cropOf({ crop_size: crop, size }: Config): { width: number; height: number } {
  const found = crop ?? size
  if (typeof found === 'number') return { width: found, height: found }
  if (found !== undefined && 'width' in found) return { width: found.width, height: found.height }
  if (found !== undefined && 'shortest_edge' in found)
    return { width: found.shortest_edge, height: found.shortest_edge }
  throw problem('do_center_crop needs crop_size with height and width')
}

/** The padding is added to the finished numbers as zeros, which stand for the mean colour. */
function padTo(size: Size, { image_mean: mean = 0 }: Config): ImageSettings {
  if (typeof size === 'number' || !('width' in size))
    throw problem('pad_size needs height and width')
  const padColor = [mean].flat().map((value) => Math.round(Math.min(Math.max(value, 0), 1) * 255))
  return { width: size.width, height: size.height, padPosition: 'top-left', padColor }
}

interface Sides {
  readonly width?: number
  readonly height?: number
  readonly shortest_edge?: number
  readonly longest_edge?: number
}

function sizeOf(size: Size, type: string, longest: number | undefined): Sides {
  const edge = longest === undefined ? {} : { longest_edge: longest }
  if (typeof size === 'object') return { ...edge, ...size }
  if (SQUARE.test(type)) return { width: size, height: size }
  if (SHORTEST.test(type)) return { shortest_edge: size, ...edge }
  throw problem(
    `it has one number as size, which means different things in different classes, and the class ${quote(type)} is not known; write {"height": ${size}, "width": ${size}} or {"shortest_edge": ${size}}`,
  )
}

function problem(text: string): ServerError {
  return new ServerError(
    'InvalidModelException',
    `${PREPROCESSOR_FILE}: ${text}. Or set "image" with "preset" in model.json, which replaces the file.`,
  )
}
