import { ServerError } from '../../../../errors.ts'
import type { ImageSettings } from '../../../../model-folder/image-settings.ts'
import { quote, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { NumericDatatype } from '../tensors/tensor.ts'
import { createByteTables } from './tables.ts'
import type { PixelData } from './tables.ts'

const MAX_SIDE = 8192

/** How images become the model's input tensor. It does not change after the load. */
export interface ImagePlan {
  readonly datatype: NumericDatatype
  /** Number of images in one tensor; -1 means any number. */
  readonly count: number
  readonly width: number
  readonly height: number
  readonly layout: 'NCHW' | 'NHWC'
  readonly colors: 'rgb' | 'bgr' | 'grayscale'
  readonly fit: 'fill' | 'cover' | 'contain'
  /** For each channel, in the tensor's order, a table that maps a byte to an element. */
  readonly tables: readonly PixelData[]
}

/**
 * Combines the settings with the input's shape, [N,C,H,W] or [N,H,W,C].
 * @throws ServerError `InvalidModelException` when they contradict each other or leave a size
 * undefined.
 */
export function planImageInput(input: TensorSpec, settings: ImageSettings): ImagePlan {
  const { datatype, shape } = input
  const problem = (text: string): ServerError =>
    new ServerError(
      'InvalidModelException',
      `The image handler cannot fill input ${quote(input.name)}, ${specText(input)}: ${text}.`,
    )
  if (datatype === 'BYTES') throw problem('its datatype is BYTES')
  const layout = settings.layout ?? guessLayout(shape)
  const axes = layout === 'NCHW' ? ([0, 1, 2, 3] as const) : ([0, 3, 1, 2] as const)
  const [count, channelAxis, heightAxis, widthAxis] = axes.map((axis) => shape[axis])
  if (shape.length !== 4 || count === undefined || channelAxis === undefined) {
    throw problem('the shape must be [N,C,H,W] or [N,H,W,C]')
  }

  const colors = settings.colors ?? (channelAxis === 1 ? 'grayscale' : 'rgb')
  const channels = colors === 'grayscale' ? 1 : 3
  if (channelAxis !== -1 && channelAxis !== channels) {
    throw problem(
      `the input has ${channelAxis} channels with layout ${layout}, but colors "${colors}" requires ${channels}`,
    )
  }

  const side = (name: 'width' | 'height', own = -1): number => {
    const pixels = own === -1 ? settings[name] : own
    if (pixels === undefined)
      throw problem(`its ${name} is open; set "image": {"${name}": …} in model.json`)
    if (pixels !== (settings[name] ?? pixels))
      throw problem(`model.json sets ${name} to ${settings[name]}`)
    if (pixels < 1 || pixels > MAX_SIDE)
      throw problem(`its ${name} is not between 1 and ${MAX_SIDE}`)
    return pixels
  }
  return {
    datatype,
    count,
    width: side('width', widthAxis),
    height: side('height', heightAxis),
    layout,
    colors,
    fit: settings.fit ?? 'fill',
    tables: createByteTables(datatype, channels, settings),
  }
}

/** Channels first, as most exporters write it, unless only the last axis can be the channels. */
function guessLayout([, second, , last]: readonly number[]): 'NCHW' | 'NHWC' {
  const isChannels = (size: number | undefined): boolean => size === 1 || size === 3
  return !isChannels(second) && isChannels(last) ? 'NHWC' : 'NCHW'
}
