/**
 * Rules of operators on images and signals: the first axis is the batch, the second the channels,
 * the others are spatial.
 */
import {
  ONE,
  dimText,
  fixedDim,
  hasBatch,
  isOne,
  isPositive,
  numberOf,
  sameDim,
  times,
} from '../dimension.ts'
import type { Dim } from '../dimension.ts'
import { batched, fixed } from '../flow.ts'
import type { Batched, Shape } from '../flow.ts'
import { normalAxis, shapeOf } from '../node-view.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'
import { broadcast } from './elementwise.ts'
import { requireOneElement } from './matrix.ts'

/** The operator's window along one spatial axis. */
interface Window {
  readonly size: Dim | undefined
  readonly stride: number
  readonly dilation: number
  readonly padding: number
}

/** `Conv` and similar operators; `weights` is the index of the input with the weights. */
export function convolution(weights: number): Rule {
  return (node) => {
    node.requireFixed(0)
    const data = node.input(0)
    const kernel = node.input(weights).shape
    if (data.kind === 'fixed') return [fixed()]
    const [, , ...space] = imageOf(data).shape
    const sizes = space.map((dim, axis) => {
      const given = node.list('kernel_shape')?.[axis]
      const size = given === undefined ? kernel?.[axis + 2] : fixedDim(given)
      return windowed(node, dim, windowOf(node, axis, space.length, size))
    })
    return [batched([sampleSize(data), kernel?.[0] ?? node.names.fresh(), ...sizes], 0)]
  }
}

/**
 * Convolution of quantized numbers. The image's scale and zero point must be the same for the whole
 * batch.
 * @param settings Indices of inputs that must have one element.
 */
export function quantisedConvolution(weights: number, settings: readonly number[]): Rule {
  return (node) => {
    for (const index of settings) requireOneElement(node, index)
    return convolution(weights)(node)
  }
}

/** Convolution that adds another image of the same batch. */
export const fusedConvolution: Rule = (node) => {
  const added = node.inputs[3]
  if (added?.kind !== 'batched') return convolution(1)(node)
  node.requireFixed(0, 3)
  const image = node.batchedInput(0)
  const sums = added.axis === 0 && sameDim(sampleSize(added), sampleSize(image))
  if (image.axis !== 0 || !sums || added.shape.length !== image.shape.length) {
    throw new NotProved('adds a batch of a different shape')
  }
  return [added]
}

/**
 * The spatial sizes of the result stay unknown: they depend on attributes that only this operator
 * has.
 */
export const transposedConvolution: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind === 'fixed') return [fixed()]
  const [, , ...space] = imageOf(data).shape
  const groups = fixedDim(node.number('group', 1))
  const perGroup = node.input(1).shape?.[1]
  const [count, factor] = [perGroup && numberOf(perGroup), numberOf(groups) ?? 1]
  const channels = count === undefined ? node.names.fresh() : fixedDim(count * factor)
  return [batched([sampleSize(data), channels, ...space.map(() => node.names.fresh())], 0)]
}

/**
 * Only the first result. The second one, the positions of the maxima, counts positions through the
 * whole batch.
 */
export const pooling: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind === 'fixed') return [fixed()]
  const [, channels = ONE, ...space] = imageOf(data).shape
  const sizes = space.map((dim, axis) => {
    const size = node.list('kernel_shape')?.[axis]
    const window = windowOf(node, axis, space.length, size === undefined ? size : fixedDim(size))
    return windowed(node, dim, window)
  })
  return [batched([sampleSize(data), channels, ...sizes], 0)]
}

export const globalPooling: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind === 'fixed') return [fixed()]
  const [size = ONE, channels = ONE, ...space] = imageOf(data).shape
  return [batched([size, channels, ...space.map(() => ONE)], 0)]
}

/**
 * Interpolates between neighbours along the axes whose size changes. The size of the batch axis
 * must not change.
 */
export const resize: Rule = (node) => {
  const data = node.input(0)
  if (node.isFixed) return [fixed()]
  if (data.kind !== 'batched') throw new NotProved('resizes an input that is not an image')
  const isOld = node.version < 11
  if (node.text('coordinate_transformation_mode', '') === 'tf_crop_and_resize') {
    throw new NotProved('slices the batch dimension')
  }
  const rank = data.shape.length
  const axes = (node.list('axes') ?? [...data.shape.keys()]).map((axis) => normalAxis(axis, rank))
  const place = axes.indexOf(data.axis)
  const policy = node.text('keep_aspect_ratio_policy', 'stretch')
  if (place !== -1 && policy !== 'stretch') throw new NotProved('resizes the batch dimension')
  const sizes = isOld ? undefined : givenValues(node, 3)
  const scales = isOld
    ? (node.list('scales')?.map(fixedDim) ?? givenValues(node, 1))
    : givenValues(node, 2)
  const own = data.shape[data.axis] ?? ONE
  const shape = data.shape.map((dim, axis) => {
    const index = axes.indexOf(axis)
    if (index === -1 || axis === data.axis) return dim
    const [size, scale] = [sizes?.[index], scales?.[index]]
    return policy === 'stretch' ? resized(node, dim, size, scale) : node.names.fresh()
  })
  const [size, scale] = [sizes?.[place], scales?.[place]]
  const isKept =
    place === -1 ||
    (sizes === undefined
      ? scale !== undefined && isOne(scale)
      : size !== undefined && sameDim(size, own))
  if (!isKept) throw new NotProved('resizes the batch dimension')
  return [batched(shape, data.axis)]
}

/** Known numbers of an input; `undefined` for an input that is left out or empty. */
function givenValues(node: NodeView, index: number): readonly Dim[] | undefined {
  const input = node.inputs[index]
  if (input?.shape?.length === 1 && input.shape[0]?.factor === 0) return undefined
  return node.values(index)
}

function resized(node: NodeView, dim: Dim, size: Dim | undefined, scale: Dim | undefined): Dim {
  if ([size, scale].some((given) => given !== undefined && hasBatch(given))) {
    throw new NotProved('depends on the batch size')
  }
  if (size !== undefined) return isPositive(size) ? size : node.names.fresh()
  const factor = scale && numberOf(scale)
  const whole = numberOf(dim)
  if (factor === undefined) return node.names.fresh()
  if (whole !== undefined) return fixedDim(Math.floor(whole * factor))
  return Number.isInteger(factor) && factor > 0 ? times(dim, fixedDim(factor)) : node.names.fresh()
}

/** Picks from each image at its own positions. */
export const gridSample: Rule = (node) => {
  node.requireFixed(0, 1)
  if (node.isFixed) return [fixed()]
  const [data, grid] = [imageOf(node.input(0)), imageOf(node.input(1))]
  if (!sameDim(sampleSize(data), sampleSize(grid)))
    throw new NotProved('combines two different batches')
  const [size = ONE, channels = ONE] = data.shape
  return [batched([size, channels, ...grid.shape.slice(1, -1)], 0)]
}

/** `PRelu`, whose slopes are broadcast to the image. */
export const slopes: Rule = (node) => {
  const [data, slope] = [node.input(0), node.input(1)]
  if (slope.shape !== undefined && slope.shape.length > shapeOf(data).length) {
    throw new NotProved('has a different slope for each request of a batch')
  }
  return [broadcast([data, slope], node.names)]
}

/**
 * @throws NotProved when the batch is not the first axis, or the tensor has fewer than three axes.
 */
function imageOf(data: Inflow): Batched {
  if (data.kind !== 'batched' || data.axis !== 0 || data.shape.length < 3) {
    throw new NotProved('operates over the batch dimension')
  }
  return data
}

function sampleSize({ shape }: { readonly shape: Shape | undefined }): Dim {
  return shape?.[0] ?? ONE
}

function windowOf(node: NodeView, axis: number, axes: number, size: Dim | undefined): Window {
  const pads = node.list('pads')
  return {
    size,
    stride: node.list('strides')?.[axis] ?? 1,
    dilation: node.list('dilations')?.[axis] ?? 1,
    padding: (pads?.[axis] ?? 0) + (pads?.[axis + axes] ?? 0),
  }
}

/** Number of positions of the window along an axis. */
function windowed(node: NodeView, dim: Dim, { size, stride, dilation, padding }: Window): Dim {
  const kernel = size && numberOf(size)
  if (kernel === undefined || stride < 1 || hasBatch(dim)) return node.names.fresh()
  const mode = node.text('auto_pad', 'NOTSET')
  const whole = numberOf(dim)
  const isCeil = node.number('ceil_mode', 0) !== 0
  if (mode.startsWith('SAME')) {
    if (whole !== undefined) return fixedDim(Math.ceil(whole / stride))
    return stride === 1 ? dim : node.names.derived(`same(${dimText(dim)},${stride})`)
  }
  const extra = (mode === 'VALID' ? 0 : padding) - dilation * (kernel - 1) - 1
  if (whole === undefined) {
    if (stride === 1 && extra === -1) return dim
    return node.names.derived(`windows(${dimText(dim)},${extra},${stride},${isCeil})`)
  }
  // Only some operators count a last window that begins in the padding.
  if (isCeil && (whole + extra) % stride !== 0) return node.names.fresh()
  return fixedDim(Math.floor((whole + extra) / stride) + 1)
}
