/** Bodies of the Open Inference Protocol for one model. */
import type { ModelMetadata, TensorMetadata } from '../models/model-metadata.ts'
import { BINARY } from './predict-schemas.ts'
import {
  elementSchema,
  exampleShape,
  fitExample,
  flatExample,
  tensorText,
} from './tensor-schemas.ts'
import type { Direction } from './tensor-schemas.ts'
import type { JsonSchema, MediaType, RequestBody, Response } from './types.ts'

/** FP16 has no form in the protocol's JSON. */
const BINARY_ONLY = 'FP16'

/** `POST /v2/models/{model}/infer`, with the tensors in JSON where the protocol has them there. */
export function inferRequest(metadata: ModelMetadata, typeName: string): RequestBody {
  if (isBinary(metadata)) {
    const tensors = metadata.inputs.map((input) => `\`${input.name}\` ${tensorText(input)}`)
    return {
      required: true,
      description: `The binary form of the protocol, since its JSON cannot hold FP16: ${tensors.join(', ')}.`,
      content: { 'application/octet-stream': { schema: BINARY } },
    }
  }
  const content = { 'application/json': jsonRequest(metadata, typeName) }
  return { required: true, content }
}

/** Its answer. */
export function inferResponse(metadata: ModelMetadata, typeName: string): Response {
  const content = isBinary(metadata)
    ? { 'application/octet-stream': { schema: BINARY } }
    : { 'application/json': jsonResponse(metadata, typeName) }
  return { description: 'The outputs.', content }
}

function isBinary({ inputs, outputs }: ModelMetadata): boolean {
  return [...inputs, ...outputs].some(({ datatype }) => datatype === BINARY_ONLY)
}

function jsonRequest({ inputs, outputs }: ModelMetadata, typeName: string): MediaType {
  const schema = {
    $id: `${typeName}InferRequest`,
    type: 'object',
    required: ['inputs'],
    properties: {
      id: { type: 'string', description: 'Comes back in the answer.' },
      inputs: {
        ...tensorList(inputs, 'request'),
        description: 'Every input, in any order.',
      },
      outputs: {
        type: 'array',
        description: 'Outputs to compute; all when absent or empty.',
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

function jsonResponse({ outputs }: ModelMetadata, typeName: string): MediaType {
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
        description: 'The outputs that were asked for, in that order.',
        items: oneOf(outputs.map((tensor) => tensorSchema(tensor, 'answer'))),
      },
    },
  }
  return { schema }
}

/** Each tensor once. Which of them stands where is not said: clients may send them in any order. */
function tensorList(tensors: readonly TensorMetadata[], direction: Direction): JsonSchema {
  return {
    type: 'array',
    minItems: tensors.length,
    maxItems: tensors.length,
    items: oneOf(tensors.map((tensor) => tensorSchema(tensor, direction))),
  }
}

function tensorSchema(tensor: TensorMetadata, direction: Direction): JsonSchema {
  const { name, datatype, shape, anyShape } = tensor
  return {
    type: 'object',
    description: `${tensorText(tensor)}.`,
    required: ['name', 'datatype', 'shape', 'data'],
    properties: {
      name: { type: 'string', enum: [name] },
      datatype: { type: 'string', enum: [datatype] },
      shape: {
        type: 'array',
        ...(anyShape === true ? {} : { minItems: shape.length, maxItems: shape.length }),
        items: { type: 'integer', minimum: 0 },
      },
      data: {
        type: 'array',
        description: 'The elements, row by row, flat.',
        items: elementSchema(datatype, direction),
      },
    },
  }
}

function oneOf(schemas: readonly JsonSchema[]): JsonSchema {
  const [first = {}, ...others] = schemas
  return others.length === 0 ? first : { oneOf: schemas }
}
