/** Request and response bodies of the Open Inference Protocol for one model. */
import type { HandlerMetadata, TensorMetadata } from '../models/model-metadata.ts'
import { BINARY, takesPictures } from './predict/predict-schemas.ts'
import {
  elementSchema,
  exampleShape,
  fitExample,
  flatExample,
  shapeSchema,
  tensorText,
} from './tensor-schemas.ts'
import type { Direction } from './tensor-schemas.ts'
import { typeNames } from './type-names.ts'
import type { JsonSchema, MediaType, RequestBody, Response } from './types.ts'

/** The JSON form of the protocol does not support FP16. */
const BINARY_ONLY = 'FP16'

/** Body of `POST /v2/models/{model}/infer`: JSON, or the binary form if a tensor is FP16. */
export function inferRequest(metadata: HandlerMetadata, typeName: string): RequestBody {
  if (isBinary(metadata)) {
    const tensors = metadata.inputs.map((input) => `\`${input.name}\` ${tensorText(input)}`)
    return {
      required: true,
      description: `Binary tensors of the protocol, because its JSON cannot represent FP16: ${tensors.join(', ')}.`,
      content: { 'application/octet-stream': { schema: BINARY } },
    }
  }
  const content = { 'application/json': jsonRequest(metadata, typeName) }
  const images = takesPictures(metadata)
    ? {
        description:
          'Instead of numbers, the image input takes the datatype `BYTES` with one image file for each element, in base64. A body that is an image file works too.',
      }
    : {}
  return { required: true, ...images, content }
}

/** Response of the same route. */
export function inferResponse(metadata: HandlerMetadata, typeName: string): Response {
  const content = isBinary(metadata)
    ? { 'application/octet-stream': { schema: BINARY } }
    : { 'application/json': jsonResponse(metadata, typeName) }
  return { description: 'The output tensors.', content }
}

/** Whether the model needs the binary form for its requests and responses. */
export function isBinary({ inputs, outputs }: HandlerMetadata): boolean {
  return [...inputs, ...outputs].some(({ datatype }) => datatype === BINARY_ONLY)
}

function jsonRequest({ inputs, outputs }: HandlerMetadata, typeName: string): MediaType {
  const schema = {
    $id: `${typeName}InferRequest`,
    type: 'object',
    required: ['inputs'],
    properties: {
      id: { type: 'string', description: 'Id of the request; the response repeats it.' },
      inputs: {
        type: 'array',
        description: 'All inputs of the model, in any order.',
        minItems: inputs.length,
        maxItems: inputs.length,
        items: anyTensor(inputs, 'request', `${typeName}Input`),
      },
      outputs: {
        type: 'array',
        description: 'Outputs to compute. Default: all.',
        items: {
          type: 'object',
          required: ['name'],
          properties: { name: { type: 'string', enum: outputs.map(({ name }) => name) } },
        },
      },
    },
  }
  if (!fitExample(inputs)) return { schema }
  const value = {
    inputs: inputs.map((tensor) => ({
      name: tensor.name,
      datatype: tensor.datatype,
      shape: exampleShape(tensor),
      data: flatExample(tensor),
    })),
  }
  return { schema, examples: { smallest: { value } } }
}

function jsonResponse({ outputs }: HandlerMetadata, typeName: string): MediaType {
  const schema = {
    $id: `${typeName}InferResponse`,
    type: 'object',
    required: ['model_name', 'model_version', 'outputs'],
    properties: {
      id: { type: 'string' },
      model_name: { type: 'string' },
      model_version: { type: 'string' },
      outputs: {
        type: 'array',
        description: 'The requested outputs, in the order of the request.',
        items: anyTensor(outputs, 'answer', `${typeName}Output`),
      },
    },
  }
  return { schema }
}

/**
 * Schema of one tensor of a list. It allows any of `tensors` in each place, because clients may
 * send them in any order. Tensors of the same type share a schema, so that generated clients have
 * one class for each type.
 * @param prefix Prefix for the names of the schemas.
 */
function anyTensor(
  tensors: readonly TensorMetadata[],
  direction: Direction,
  prefix: string,
): JsonSchema {
  const groups = groupByType(tensors)
  if (groups.length === 1) return tensorSchema(tensors, direction)
  const ids = typeNames(groups.flatMap(([first]) => first ?? [])).map((name) => `${prefix}${name}`)
  return {
    oneOf: groups.map((group, index) => ({ $id: ids[index], ...tensorSchema(group, direction) })),
    discriminator: {
      propertyName: 'name',
      mapping: mapNames(groups, ids),
    },
  }
}

function mapNames(
  groups: readonly TensorMetadata[][],
  ids: readonly string[],
): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(
    groups.flatMap((group, index): [name: string, id: string | undefined][] =>
      group.map(({ name }) => [name, ids[index]]),
    ),
  )
}

function groupByType(tensors: readonly TensorMetadata[]): readonly TensorMetadata[][] {
  const groups = new Map<string, TensorMetadata[]>()
  for (const tensor of tensors) {
    const { datatype, shape, dimensions, anyShape } = tensor
    const key = JSON.stringify([datatype, shape, dimensions, anyShape, labelsIn(tensor)])
    groups.set(key, [...(groups.get(key) ?? []), tensor])
  }
  return [...groups.values()]
}

/** @param tensors All of the same type. */
function tensorSchema(tensors: readonly TensorMetadata[], direction: Direction): JsonSchema {
  const [tensor] = tensors
  if (tensor === undefined) return {}
  const { datatype } = tensor
  return {
    type: 'object',
    description: `${tensorText(tensor)}.`,
    required: ['name', 'datatype', 'shape', 'data'],
    properties: {
      name: nameSchema(tensors),
      datatype: { type: 'string', enum: [datatype] },
      shape: shapeSchema(tensor),
      data: {
        type: 'array',
        description: 'The elements as a flat list in row-major order.',
        items: { ...elementSchema(datatype, direction), ...labelsIn(tensor) },
      },
    },
  }
}

/** The labels of texts. The protocol's tensors have no other labels. */
function labelsIn({ datatype, labels }: TensorMetadata): JsonSchema | undefined {
  const isLabelled = datatype === 'BYTES' && labels !== undefined
  return isLabelled ? { enum: [...new Set(labels)] } : undefined
}

/**
 * The pattern allows the same names as the enum. Generated Go clients do not check an enum and use
 * the pattern to tell tensors apart.
 */
function nameSchema(tensors: readonly TensorMetadata[]): JsonSchema {
  const names = tensors.map(({ name }) => name)
  // All other characters have a meaning in a pattern or in a Go struct tag.
  const patterns = names.map((name) => name.replaceAll(/[^\w :/-]/gu, '.'))
  return { type: 'string', enum: names, pattern: `^(${patterns.join('|')})$` }
}
