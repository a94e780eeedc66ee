/** Operations of one model, with the types of its inputs and outputs. */
import type { HandlerMetadata } from '../models/model-metadata.ts'
import { BINARY_PARAMETERS } from './binary-parameters.ts'
import { inferRequest, inferResponse, isBinary } from './infer-schemas.ts'
import {
  ANY_REQUEST,
  ANY_RESPONSE,
  predictRequest,
  predictResponse,
} from './predict/predict-schemas.ts'
import { priorityParameters } from './priority-parameters.ts'
import { responsesOf } from './route-operations.ts'
import type { JsonSchema, Operation, Paths } from './types.ts'

/** A model as clients call it: with or without a version in the path. */
export interface DocumentedModel {
  readonly name: string
  /** Absent for the default version. */
  readonly version?: string | undefined
  /** Absent if the handler does not report its metadata. */
  readonly metadata: HandlerMetadata | undefined
  readonly priorityLevels: number
}

/** Schemas of the error responses: `original` for MMS routes, `protocol` for KServe routes. */
export interface ErrorSchemas {
  readonly original: Readonly<Record<string, JsonSchema>>
  readonly protocol: Readonly<Record<string, JsonSchema>>
}

/** @param typeName Prefix for the names of the model's types, and suffix of its operation ids. */
export function modelPaths(model: DocumentedModel, typeName: string, errors: ErrorSchemas): Paths {
  const { name, version, metadata } = model
  const path = encodeURIComponent(name)
  const suffix = version === undefined ? '' : `/${encodeURIComponent(version)}`
  const predictions = `/predictions/${path}${suffix}`
  if (metadata === undefined)
    return { [predictions]: { post: predictOperation(model, typeName, errors) } }
  const versions = version === undefined ? '' : `/versions${suffix}`
  return {
    [predictions]: { post: predictOperation(model, typeName, errors) },
    [`/v2/models/${path}${versions}/infer`]: {
      post: inferOperation(model, metadata, typeName, errors),
    },
  }
}

function predictOperation(
  model: DocumentedModel,
  typeName: string,
  errors: ErrorSchemas,
): Operation {
  const { name, metadata } = model
  return {
    operationId: `predict${typeName}`,
    summary: `Predict with ${modelText(model)}`,
    tags: [name],
    parameters: priorityParameters(model.priorityLevels),
    requestBody: metadata === undefined ? ANY_REQUEST : predictRequest(metadata, typeName),
    responses: {
      200: metadata === undefined ? ANY_RESPONSE : predictResponse(metadata, typeName),
      ...responsesOf(errors.original),
    },
  }
}

function inferOperation(
  model: DocumentedModel,
  metadata: HandlerMetadata,
  typeName: string,
  errors: ErrorSchemas,
): Operation {
  return {
    operationId: `infer${typeName}`,
    summary: `Infer with ${modelText(model)} through the Open Inference Protocol`,
    tags: [model.name],
    parameters: [
      ...priorityParameters(model.priorityLevels),
      ...(isBinary(metadata) ? BINARY_PARAMETERS : []),
    ],
    requestBody: inferRequest(metadata, typeName),
    responses: {
      200: inferResponse(metadata, typeName),
      ...responsesOf(errors.protocol),
    },
  }
}

function modelText({ name, version }: DocumentedModel): string {
  return version === undefined ? name : `version ${version} of ${name}`
}
