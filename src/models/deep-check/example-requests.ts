/** Requests that fit the inputs of a model, made from its metadata. */
import { DIALECT_HEADER } from '../../contract/internal-headers.ts'
import { textExample } from '../examples/text-examples.ts'
import { asHandlerMetadata } from '../model-metadata.ts'
import type { HandlerMetadata } from '../model-metadata.ts'
import type { Header, Parameter } from '../scheduling/queue/job.ts'
import { pngOf } from './png.ts'
import { concreteShape, randomBytes, randomNumbers } from './random-tensor.ts'

/** Headers and parameters of a request, as a worker gets them. */
export interface ExampleRequest {
  readonly headers: readonly Header[]
  readonly parameters: readonly Parameter[]
}

/** Requests of one kind. The first set whose requests the model accepts is used. */
export interface ExampleSet {
  /** What they contain, for a sentence. */
  readonly kind: string
  readonly requests: readonly ExampleRequest[]
}

const REQUESTS = 4
const SEED = 20_260_101
/** Sizes of open dimensions that are tried in turn. */
const SIZES = [8, 1, 64, 224]
const BEGINNINGS = ['', 'Once more: ', 'As we said, ', 'In other words, and shortly: ']
const IMAGE_WIDTH = 320
const IMAGE_HEIGHT = 240

/** Returns sets to try in turn; empty for a model whose inputs are not known. */
export function exampleSets(metadata: unknown): readonly ExampleSet[] {
  const known = asHandlerMetadata(metadata)
  if (known === undefined) return []
  const { text } = known
  if (text !== undefined) {
    return [{ kind: 'texts', requests: texts(textExample(text)) }]
  }
  if (known.handler === 'image') return [{ kind: 'images', requests: images() }]
  const sizes = hasOpenSize(known) ? SIZES : [1]
  return sizes.flatMap((size) => {
    const kind = hasOpenSize(known)
      ? `random tensors with open dimensions of ${size}`
      : 'random tensors'
    const requests = Array.from({ length: REQUESTS }, (_, index) =>
      tensorRequest(known, size, randomNumbers(SEED + index)),
    ).filter((request) => request !== undefined)
    return requests.length === 0 ? [] : [{ kind, requests }]
  })
}

/** Whether a dimension besides the first has no fixed size. */
function hasOpenSize({ inputs }: HandlerMetadata): boolean {
  return inputs.some(({ shape }) => shape.slice(1).some((dimension) => dimension < 0))
}

/** A request with a body. */
export function bodyRequest(contentType: string, value: Buffer): ExampleRequest {
  return {
    headers: [['Content-Type', contentType]],
    parameters: [{ name: 'body', contentType, value }],
  }
}

/** Texts of several lengths. */
function texts(example: Readonly<Record<string, unknown>>): ExampleRequest[] {
  return BEGINNINGS.map((beginning) => {
    const members = Object.entries(example).map(([name, value]) => [
      name,
      typeof value === 'string' ? beginning + value : value,
    ])
    const body = Buffer.from(JSON.stringify(Object.fromEntries(members)))
    return bodyRequest('application/json', body)
  })
}

function images(): ExampleRequest[] {
  return Array.from({ length: REQUESTS }, (_, index) => {
    const next = randomNumbers(SEED + index)
    const noise = 32 + index * 32
    const png = pngOf(IMAGE_WIDTH, IMAGE_HEIGHT, (x, y, channel) => {
      const gradient = (x * (channel + 1) + y * (3 - channel)) % (256 - noise)
      return Math.floor(gradient + next() * noise)
    })
    return bodyRequest('image/png', png)
  })
}

/** A request of the Open Inference Protocol with binary tensors, whose response is binary too. */
function tensorRequest(
  { inputs }: HandlerMetadata,
  size: number,
  next: () => number,
): ExampleRequest | undefined {
  const tensors = inputs.map((input) => {
    const shape = concreteShape(input, size)
    return { input, shape, data: randomBytes(input.datatype, shape, next) }
  })
  const parts: Buffer[] = []
  const described = []
  for (const { input, shape, data } of tensors) {
    if (data === undefined || input.anyShape === true) return undefined
    parts.push(data)
    const { name, datatype } = input
    described.push({ name, datatype, shape, parameters: { binary_data_size: data.length } })
  }
  const json = Buffer.from(
    JSON.stringify({ inputs: described, parameters: { binary_data_output: true } }),
  )
  const contentType = 'application/octet-stream'
  return {
    headers: [
      ['content-type', contentType],
      ['inference-header-content-length', String(json.length)],
      [DIALECT_HEADER, 'v2'],
    ],
    parameters: [{ name: 'body', contentType, value: Buffer.concat([json, ...parts]) }],
  }
}
