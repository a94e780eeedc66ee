import { ServerError } from '../../../../errors.ts'
import type { ImageSettings } from '../../../../model-folder/image-settings.ts'
import { quote, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { NumericDatatype } from '../tensors/tensor.ts'
import type { Kernel } from './pixels/resample.ts'
import type { Geometry, ResizeRule } from './placement.ts'
import { withBase } from './settings/presets.ts'
import type { BaseSettings } from './settings/presets.ts'
import { REAL_DATATYPES, createByteTables } from './tables.ts'
import type { PixelData } from './tables.ts'

/** Maximum width and height of an image in the model's input. */
export const MAX_SIDE = 8192

export type Layout = 'NCHW' | 'NHWC' | 'CHW' | 'HWC'

/** How the file of an image becomes pixels. */
export interface DecodeRules {
  readonly isGrayscale: boolean
  readonly alpha: 'ignore' | 'black' | 'white'
  readonly appliesProfile: boolean
  readonly appliesOrientation: boolean
}

/** How images become the model's input tensor. It does not change after the load. */
export interface ImagePlan {
  readonly datatype: NumericDatatype
  /** Number of images in one tensor; -1 means any number. */
  readonly count: number
  /** False if the input has no batch dimension. */
  readonly hasBatch: boolean
  readonly isChannelsFirst: boolean
  readonly colors: 'rgb' | 'bgr' | 'grayscale'
  readonly decode: DecodeRules
  readonly geometry: Geometry
  /** `fast` is the Lanczos filter of libvips. */
  readonly kernel: Kernel | 'fast'
  readonly antialias: boolean
  /** Red, green and blue of the padding. */
  readonly padColor: readonly number[]
  /** For each channel, in the tensor's order, a table that maps a byte to an element. */
  readonly tables: readonly PixelData[]
}

/**
 * Combines the settings with the input's shape: [N,C,H,W], [N,H,W,C], [C,H,W] or [H,W,C].
 * @param base Settings of another file; those of `model.json` override them.
 * @throws ServerError `InvalidModelException` when they contradict each other or leave a size
 * undefined.
 */
export function planImageInput(
  input: TensorSpec,
  own: ImageSettings,
  base?: BaseSettings,
): ImagePlan {
  const { datatype, shape } = input
  const problem = (text: string): ServerError =>
    new ServerError(
      'InvalidModelException',
      `The image handler cannot fill input ${quote(input.name)}, ${specText(input)}: ${text}.`,
    )
  if (datatype === 'BYTES') throw problem('its datatype is BYTES')
  const { settings, size, keepsAspect = false } = withBase(own, base)
  const layout = settings.layout ?? guessLayout(shape)
  if ((shape.length !== 4 && shape.length !== 3) || layout.length !== shape.length) {
    throw problem(
      `the shape must be [N,C,H,W] or [N,H,W,C], or the same without N; the layout is ${layout}`,
    )
  }
  const sizeOf = (axis: string): number => shape[layout.indexOf(axis)] ?? -1
  const hasBatch = shape.length === 4
  const colors = settings.colors ?? (sizeOf('C') === 1 ? 'grayscale' : 'rgb')
  const channels = colors === 'grayscale' ? 1 : 3
  if (sizeOf('C') !== -1 && sizeOf('C') !== channels) {
    throw problem(
      `the input has ${sizeOf('C')} channels with layout ${layout}, but colors "${colors}" requires ${channels}`,
    )
  }
  if (!REAL_DATATYPES.includes(datatype) && settings.std !== own.std) {
    throw problem(
      'the mean and std of the preset are fractions; set "mean": [0] and "std": [1] in "image" if the model scales itself',
    )
  }

  const resize = checkedResize(settings.resize, problem)
  const side = (name: 'width' | 'height', declared: number): number | undefined => {
    if (keepsAspect && declared !== -1 && settings.resize !== own.resize) {
      throw problem(
        `preprocessor_config.json keeps the aspect ratio of images, but the ${name} of the input is fixed; set "fit" in "image" of model.json to fill, cover or contain`,
      )
    }
    const pixels = declared === -1 ? (settings[name] ?? size) : declared
    if (pixels === undefined && resize !== undefined) return undefined
    if (pixels === undefined)
      throw problem(`its ${name} is open; set "image": {"${name}": …} in model.json`)
    if (pixels !== (settings[name] ?? pixels)) {
      const source = own[name] === undefined ? 'preprocessor_config.json' : 'model.json'
      throw problem(`${source} sets ${name} to ${settings[name]}`)
    }
    if (pixels < 1 || pixels > MAX_SIDE)
      throw problem(`its ${name} is not between 1 and ${MAX_SIDE}`)
    return pixels
  }
  const { padColor = [0] } = settings
  if (padColor.length === 2) throw problem('"padColor" needs one value or three')
  return {
    datatype,
    count: hasBatch ? sizeOf('N') : 1,
    hasBatch,
    isChannelsFirst: layout.indexOf('C') < layout.indexOf('H'),
    colors,
    decode: {
      isGrayscale: colors === 'grayscale',
      alpha: settings.alpha ?? 'ignore',
      appliesProfile: settings.colorProfile === 'apply',
      appliesOrientation: settings.orientation !== 'ignore',
    },
    geometry: {
      width: side('width', sizeOf('W')),
      height: side('height', sizeOf('H')),
      fit: settings.fit ?? 'fill',
      cropPct: settings.cropPct ?? 1,
      resize,
      cropRounding: settings.cropRounding ?? 'even',
      padPosition: settings.padPosition ?? 'center',
    },
    kernel: settings.kernel ?? 'fast',
    antialias: settings.antialias ?? true,
    padColor: padColor.length === 1 ? [0, 1, 2].map(() => padColor[0] ?? 0) : padColor,
    tables: createByteTables(datatype, channels, settings),
  }
}

/** Channels first, as most exporters write it, unless only the last axis can be the channels. */
function guessLayout(shape: readonly number[]): Layout {
  const isChannels = (size: number | undefined): boolean => size === 1 || size === 3
  const hasBatch = shape.length > 3
  const isLast = !isChannels(shape.at(hasBatch ? 1 : 0)) && isChannels(shape.at(-1))
  if (hasBatch) return isLast ? 'NHWC' : 'NCHW'
  return isLast ? 'HWC' : 'CHW'
}

function checkedResize(
  resize: ImageSettings['resize'],
  problem: (text: string) => ServerError,
): ResizeRule | undefined {
  if (resize === undefined) return undefined
  const hasEdge = resize.shortestEdge !== undefined || resize.longestEdge !== undefined
  const sides = [resize.width, resize.height].filter((side) => side !== undefined).length
  if (hasEdge ? sides === 0 : sides !== 1) return resize
  throw problem('"resize" takes width and height, or a shortest or longest edge')
}
