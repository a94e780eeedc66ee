/** Fills the inputs besides the image: sizes, scales, and the mask of the padding. */
import { ServerError } from '../../../../errors.ts'
import type { ImageSettings } from '../../../../model-folder/image-settings.ts'
import { quote, specListText, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { allocateData } from '../tensors/tensor.ts'
import type { NumericDatatype, NumericTensor, Tensor } from '../tensors/tensor.ts'
import type { Placement } from './placement.ts'

type Fact = NonNullable<ImageSettings['inputs']>[string]

/** What each input of the model gets. */
export interface InputPlan {
  readonly image: TensorSpec
  /** In the model's order; `image` for the image itself. */
  readonly contents: readonly (FactInput | 'image')[]
  readonly hasMask: boolean
}

interface FactInput {
  readonly name: string
  readonly fact: Fact
  readonly datatype: NumericDatatype
  readonly hasBatch: boolean
}

const FACTS = 'height-width, width-height, resized-height-width, input-height-width, scale or mask'

/**
 * Decides which input takes the image, and what the others get.
 * @throws ServerError `InvalidModelException` when the settings do not name the content of an
 * input.
 */
export function planInputs(inputs: readonly TensorSpec[], settings: ImageSettings): InputPlan {
  const { input: chosen, inputs: facts = {} } = settings
  const stray = [...Object.keys(facts), ...(chosen === undefined ? [] : [chosen])].find(
    (name) => !inputs.some((input) => input.name === name),
  )
  if (stray !== undefined) {
    throw invalid(
      `model.json names input ${quote(stray)} in "image"; the model has ${specListText(inputs)}.`,
    )
  }
  const free = inputs.filter(({ name }) => !Object.hasOwn(facts, name))
  const [image, ...others] =
    chosen === undefined ? free : free.toSorted((a) => (a.name === chosen ? -1 : 1))
  if (image === undefined || others.length > 0) {
    throw invalid(
      `The image handler needs a model with one input; the model has ${specListText(inputs) || 'none'}. For each other input, set in model.json "image": {"inputs": {"name": "…"}} with ${FACTS}.`,
    )
  }
  const contents = inputs.map((input) =>
    input === image ? ('image' as const) : planFact(input, facts[input.name] ?? 'scale'),
  )
  return { image, contents, hasMask: Object.values(facts).includes('mask') }
}

/** Returns the tensors of all inputs in the model's order. */
export function fillInputs(
  { contents }: InputPlan,
  image: NumericTensor,
  placements: readonly Placement[],
  frame: { readonly width: number; readonly height: number },
): readonly Tensor[] {
  return contents.map((content) => {
    if (content === 'image') return image
    const { fact, datatype, hasBatch } = content
    const size = fact === 'mask' ? [frame.height, frame.width] : [2]
    const count = size.reduce((product, side) => product * side, 1)
    const data = allocateData(datatype, placements.length * count)
    for (const [index, placement] of placements.entries()) {
      if (fact === 'mask') writeMask(data, index * count, placement, frame.width)
      else
        for (const [at, value] of pairOf(fact, placement).entries()) {
          setNumber(data, index * 2 + at, value)
        }
    }
    return { datatype, shape: hasBatch ? [placements.length, ...size] : size, data }
  })
}

function planFact(input: TensorSpec, fact: Fact): FactInput {
  const { name, datatype, shape } = input
  const rank = fact === 'mask' ? 2 : 1
  const last = shape.at(-1)
  const fitsRank = shape.length === rank || shape.length === rank + 1
  const fitsPair = fact === 'mask' || last === 2 || last === -1
  if (datatype === 'BYTES' || datatype === 'FP16' || !fitsRank || !fitsPair) {
    const wanted = fact === 'mask' ? '[N,H,W]' : '[N,2]'
    throw invalid(
      `The image handler cannot fill input ${quote(name)}, ${specText(input)}, with ${fact}: the shape must be ${wanted}, and the datatype a number of another type than FP16.`,
    )
  }
  return { name, fact, datatype, hasBatch: shape.length > rank }
}

function pairOf(fact: Exclude<Fact, 'mask'>, placement: Placement): readonly [number, number] {
  const { sourceWidth, sourceHeight, resizedWidth, resizedHeight, width, height } = placement
  switch (fact) {
    case 'height-width':
      return [sourceHeight, sourceWidth]
    case 'width-height':
      return [sourceWidth, sourceHeight]
    case 'resized-height-width':
      return [resizedHeight, resizedWidth]
    case 'input-height-width':
      return [height, width]
    case 'scale':
      return [resizedHeight / sourceHeight, resizedWidth / sourceWidth]
  }
}

/** 1 where the image is, 0 where padding is. */
function writeMask(
  data: NumericTensor['data'],
  start: number,
  { left, top, resizedWidth, resizedHeight, width, height }: Placement,
  rowLength: number,
): void {
  const lastRow = Math.min(height, top + resizedHeight)
  const from = Math.max(0, left)
  const to = Math.min(width, left + resizedWidth)
  for (let row = Math.max(0, top); row < lastRow; row++) {
    const at = start + row * rowLength
    if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      data.fill(1n, at + from, at + to)
    else data.fill(1, at + from, at + to)
  }
}

function setNumber(data: NumericTensor['data'], at: number, value: number): void {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array)
    data[at] = BigInt(Math.round(value))
  else data[at] = value
}

function invalid(text: string): ServerError {
  return new ServerError('InvalidModelException', text)
}
