/**
 * Metadata that a handler returns for `describe`. Several dialects show it, and the typed API
 * documents are generated from it.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { fits } from '../schema.ts'

/** An input or output. */
const TensorMetadata = Type.Object({
  name: Type.String(),
  datatype: Type.String({ description: 'Of the Open Inference Protocol, such as `FP32`.' }),
  shape: Type.Array(Type.Integer(), { description: '-1 stands for a dimension of any size.' }),
  dimensions: Type.Array(Type.Union([Type.Integer(), Type.String()]), {
    description: 'The same with the names of symbolic dimensions; empty where one has no name.',
  }),
  anyShape: Type.Optional(
    Type.Boolean({ description: 'The model declares no shape and takes any; `shape` is empty.' }),
  ),
})
export type TensorMetadata = Static<typeof TensorMetadata>

/** The metadata of a built-in handler. A custom handler may return anything. */
const ModelMetadata = Type.Object({
  handler: Type.String(),
  runtime: Type.Object({ name: Type.String(), version: Type.String() }),
  inputs: Type.Array(TensorMetadata),
  outputs: Type.Array(TensorMetadata),
  labels: Type.Optional(Type.Array(Type.String())),
  topK: Type.Optional(
    Type.Integer({ description: 'Classes in the answer to a picture; absent for no classifier.' }),
  ),
})
export type ModelMetadata = Static<typeof ModelMetadata>

/**
 * Returns the metadata in its known form; `undefined` if the handler returned none or another form.
 */
export function asModelMetadata(description: unknown): ModelMetadata | undefined {
  return fits(ModelMetadata, description) ? description : undefined
}
