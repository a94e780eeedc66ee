/** Request and response bodies of `POST /predictions/{model}` for one model. */
import type { HandlerMetadata } from '../../models/model-metadata.ts'
import { fitExample, nestedExample, nestedSchema, tensorText } from '../tensor-schemas.ts'
import type { Content, JsonSchema, RequestBody, Response } from '../types.ts'
import { outputSchema } from './output-schemas.ts'
import { tableContent } from './table-schemas.ts'
import { textRequest, textResponse } from './text-schemas.ts'
import { visionResponse } from './vision-schemas.ts'

/** A binary body, in the form that client generators know in both versions of OpenAPI. */
export const BINARY = { type: 'string', format: 'binary' }
const PICTURE_TYPES = ['image/png', 'image/jpeg', 'image/webp']
const PICTURE_BODIES =
  'An image file (JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP) as the body or in a form; the first bytes decide, not the content type. Or JSON with the file in base64: `{"b64": "…"}` or `{"image": "…"}`; a list of such objects, like a form with several files, gives a list of results. The tensor is accepted too.'

/** Request of a handler without metadata. */
export const ANY_REQUEST: RequestBody = {
  description: 'The request body that the custom handler of the model expects.',
  content: {
    'application/json': { schema: {} },
    'application/octet-stream': { schema: BINARY },
    'text/plain': { schema: { type: 'string' } },
    'multipart/form-data': { schema: { type: 'object', additionalProperties: true } },
    'application/x-www-form-urlencoded': {
      schema: { type: 'object', additionalProperties: { type: 'string' } },
    },
  },
}

/** Response of a handler without metadata. */
export const ANY_RESPONSE: Response = {
  description: 'The response body of the custom handler of the model.',
  content: {
    'application/json': { schema: {} },
    'application/octet-stream': { schema: BINARY },
    'text/plain': { schema: { type: 'string' } },
  },
}

/** Request: one image for an image classifier, else one tensor for each input. */
export function predictRequest(metadata: HandlerMetadata, typeName: string): RequestBody {
  if (metadata.text !== undefined) return textRequest(metadata.text, typeName)
  if (takesPictures(metadata))
    return { required: true, description: PICTURE_BODIES, content: pictureContent() }
  const { inputs } = metadata
  const [only, ...others] = inputs
  const schema = {
    $id: `${typeName}PredictRequest`,
    type: 'object',
    required: inputs.map(({ name }) => name),
    properties: Object.fromEntries(
      inputs.map((input) => [input.name, nestedSchema(input, 'request')]),
    ),
    additionalProperties: false,
  }
  const value = Object.fromEntries(inputs.map((tensor) => [tensor.name, nestedExample(tensor)]))
  const examples = fitExample(inputs) ? { examples: { smallest: { value } } } : {}
  const isRaw = only !== undefined && others.length === 0 && only.datatype !== 'BYTES'
  return {
    required: true,
    description: isRaw
      ? `As \`application/octet-stream\`: the elements of ${tensorText(only)}, little-endian, in row-major order.`
      : 'One value for each input.',
    content: {
      'application/json': { schema, ...examples },
      ...(isRaw ? { 'application/octet-stream': { schema: BINARY } } : {}),
      ...tableContent(metadata, typeName),
    },
  }
}

/** Response: the result of the task for an image, else one tensor for each output. */
export function predictResponse(metadata: HandlerMetadata, typeName: string): Response {
  const { outputs, topK, text } = metadata
  if (text !== undefined) return textResponse(text, typeName)
  const vision = takesPictures(metadata) ? visionResponse(metadata, typeName) : undefined
  if (vision !== undefined) return vision
  if (takesPictures(metadata) && topK !== undefined) {
    const schema = classList(metadata, topK, typeName)
    return {
      description: 'The most probable classes, in descending order of probability.',
      content: {
        'application/json': { schema },
        'text/csv': { schema: { type: 'string' } },
      },
    }
  }
  const schema = {
    $id: `${typeName}PredictResponse`,
    type: 'object',
    required: outputs.map(({ name }) => name),
    properties: Object.fromEntries(outputs.map((output) => [output.name, outputSchema(output)])),
  }
  return { description: 'The output tensors.', content: { 'application/json': { schema } } }
}

/** Whether the model takes one image. A model with another fixed batch size takes tensors. */
export function takesPictures({ handler, inputs }: HandlerMetadata): boolean {
  return (
    handler === 'image' &&
    inputs.some(({ shape }) => shape.length === 3 || shape[0] === 1 || shape[0] === -1)
  )
}

function pictureContent(): Content {
  const form = {
    type: 'object',
    required: ['image'],
    properties: {
      image: { ...BINARY, description: 'An image; the form field may have any name.' },
    },
  }
  return {
    'multipart/form-data': { schema: form },
    ...Object.fromEntries(PICTURE_TYPES.map((type) => [type, { schema: BINARY }])),
  }
}

function classList({ labels }: HandlerMetadata, topK: number, typeName: string): JsonSchema {
  const names = labels === undefined ? {} : { enum: [...new Set(labels)] }
  const highest = labels === undefined ? {} : { maximum: labels.length - 1 }
  return {
    $id: `${typeName}PredictResponse`,
    type: 'array',
    maxItems: topK,
    items: {
      $id: `${typeName}Class`,
      type: 'object',
      required: ['class', 'index', 'probability'],
      properties: {
        class: {
          type: 'string',
          ...names,
          description: 'The label of the class; its index if the model has no labels.',
        },
        index: { type: 'integer', minimum: 0, ...highest },
        probability: { type: ['number', 'null'], format: 'float' },
      },
    },
  }
}
