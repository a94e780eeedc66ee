/** Responses of image models with a task other than classification. */
import type { HandlerMetadata } from '../../models/model-metadata.ts'
import type { JsonSchema, Response } from '../types.ts'

const BINARY = { type: 'string', format: 'binary' }
const CSV = { type: 'string' }

/** The response of `POST /predictions/{model}` to one image; `undefined` for other models. */
export function visionResponse(metadata: HandlerMetadata, typeName: string): Response | undefined {
  switch (metadata.task) {
    case 'detection':
      return {
        description: 'The objects in the image, in descending order of their scores.',
        content: {
          'application/json': { schema: detectionList(metadata, typeName) },
          'image/png': { schema: BINARY },
          'image/jpeg': { schema: BINARY },
          'text/csv': { schema: CSV },
        },
      }
    case 'segmentation':
      return {
        description:
          'The areas of the image. As `image/png`: the mask, whose pixels are class numbers. As `image/jpeg`: the image with the areas in colors.',
        content: {
          'application/json': { schema: segmentation(metadata, typeName) },
          'image/png': { schema: BINARY },
          'image/jpeg': { schema: BINARY },
          'text/csv': { schema: CSV },
        },
      }
    case 'features':
      return {
        description: 'The features of the image.',
        content: {
          'application/json': {
            schema: {
              $id: `${typeName}PredictResponse`,
              type: 'array',
              items: { type: ['number', 'null'], format: 'float' },
            },
          },
          'text/csv': { schema: CSV },
        },
      }
    default:
      return undefined
  }
}

function detectionList(metadata: HandlerMetadata, typeName: string): JsonSchema {
  return {
    $id: `${typeName}PredictResponse`,
    type: 'array',
    items: {
      $id: `${typeName}Detection`,
      type: 'object',
      required: ['class', 'index', 'score', 'box'],
      properties: {
        class: classSchema(metadata),
        index: { type: 'integer', minimum: 0 },
        score: { type: 'number', format: 'float' },
        box: {
          type: 'array',
          minItems: 4,
          maxItems: 4,
          items: { type: 'number', format: 'float', minimum: 0 },
          description: 'Left, top, right and bottom edge in pixels of the image.',
        },
      },
    },
  }
}

function segmentation(metadata: HandlerMetadata, typeName: string): JsonSchema {
  return {
    $id: `${typeName}PredictResponse`,
    type: 'object',
    required: ['width', 'height', 'classes', 'mask'],
    properties: {
      width: { type: 'integer', minimum: 1, description: 'Width of the image in pixels.' },
      height: { type: 'integer', minimum: 1, description: 'Height of the image in pixels.' },
      classes: {
        type: 'array',
        description: 'The classes in the image, the largest area first.',
        items: {
          $id: `${typeName}Area`,
          type: 'object',
          required: ['class', 'index', 'pixels', 'share'],
          properties: {
            class: classSchema(metadata, ['background']),
            index: {
              type: 'integer',
              minimum: 0,
              maximum: 255,
              description: 'The value of the class in the mask.',
            },
            pixels: { type: 'integer', minimum: 1 },
            share: {
              type: 'number',
              format: 'float',
              minimum: 0,
              maximum: 1,
              description: 'Part of the pixels of the image.',
            },
          },
        },
      },
      mask: {
        type: 'string',
        format: 'byte',
        description: 'A PNG in the size of the image; its pixels are class numbers.',
      },
    },
  }
}

/** @param more Names besides the labels. */
function classSchema({ labels }: HandlerMetadata, more: readonly string[] = []): JsonSchema {
  const names = labels === undefined ? {} : { enum: [...new Set([...labels, ...more])] }
  const description = 'The label of the class; its index if the model has no labels.'
  return { type: 'string', ...names, description }
}
