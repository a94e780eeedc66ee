/**
 * Metadata that a handler returns for `describe`. Several dialects show it, and the typed API
 * documents are generated from it.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { fits, stringEnum } from '../schema.ts'

/** An input or output. */
const TensorMetadata = Type.Object({
  name: Type.String(),
  datatype: Type.String({
    description: 'Datatype of the Open Inference Protocol, for example `FP32`.',
  }),
  shape: Type.Array(Type.Integer(), {
    description: 'Sizes of the dimensions; -1 for a dimension of any size.',
  }),
  dimensions: Type.Array(Type.Union([Type.Integer(), Type.String()]), {
    description:
      'Sizes or names of the dimensions; an empty name for a dimension of any size without a name.',
  }),
  anyShape: Type.Optional(
    Type.Boolean({
      description: 'True if the model declares no shape and accepts any; `shape` is empty then.',
    }),
  ),
  labels: Type.Optional(
    Type.Array(Type.String(), {
      description: 'Labels of the classes, for the class or the scores of a classifier.',
    }),
  ),
  form: Type.Optional(
    stringEnum(['label', 'object'], {
      description:
        'Form in responses of `/predictions`, if it is not numbers: each class as its label, or each row of scores as an object keyed by label.',
    }),
  ),
  classNumbers: Type.Optional(
    Type.Array(Type.Integer(), {
      description: 'Number of each class, if it is not the position of its label.',
    }),
  ),
})
export type TensorMetadata = Static<typeof TensorMetadata>

/** What a model does with texts. */
const TextMetadata = Type.Object({
  task: Type.String({ description: 'The task, for example `text-classification`.' }),
  maxTokens: Type.Integer({ description: 'Maximum number of tokens of a text.' }),
  labels: Type.Array(Type.String(), { description: 'Labels in the order of classes.' }),
  isZeroShot: Type.Boolean({ description: 'True if requests may name labels of their own.' }),
  mask: Type.Optional(Type.String({ description: 'The text that marks a masked word.' })),
  pooling: Type.Optional(
    Type.String({ description: 'How vectors of tokens become the vector of a text.' }),
  ),
  truncates: Type.Boolean({ description: 'True if longer texts are cut by default.' }),
  maxTexts: Type.Integer({ description: 'Maximum number of texts in a request.' }),
  maxBatchTokens: Type.Integer({
    description: 'Maximum number of tokens in a run of the model, with padding.',
  }),
})
export type TextMetadata = Static<typeof TextMetadata>

const StepNames = Type.Record(Type.String(), Type.String(), {
  description: 'Names of the tensors of the model, each with its name in the pipeline.',
})

/** The models that a pipeline calls. */
const PipelineParts = Type.Object({
  steps: Type.Array(
    Type.Object({
      model: Type.String(),
      version: Type.Optional(Type.String()),
      inputs: StepNames,
      outputs: StepNames,
      problem: Type.Optional(Type.String({ description: 'Why its types are not known.' })),
    }),
  ),
  problem: Type.Optional(Type.String({ description: 'Why no request can be served.' })),
  jsonOnly: Type.Optional(Type.String({ description: 'Why requests must be JSON.' })),
})
export type PipelineParts = Static<typeof PipelineParts>

/** The metadata of a built-in handler. A custom handler may return anything. */
const HandlerMetadata = Type.Object({
  handler: Type.String(),
  runtime: Type.Object({ name: Type.String(), version: Type.String() }),
  inputs: Type.Array(TensorMetadata),
  outputs: Type.Array(TensorMetadata),
  task: Type.Optional(
    Type.String({ description: 'The task that `model.json` declares, such as `detection`.' }),
  ),
  notServed: Type.Optional(
    Type.Array(Type.Object({ name: Type.String(), reason: Type.String(), remedy: Type.String() }), {
      description: 'Outputs of the model that are not tensors.',
    }),
  ),
  labels: Type.Optional(Type.Array(Type.String())),
  topK: Type.Optional(
    Type.Integer({
      description:
        'Number of classes in the response to an image; absent if the model is not a classifier.',
    }),
  ),
  columns: Type.Optional(
    Type.Array(Type.String(), {
      description: 'Names of the columns of the only input, if `model.json` sets them.',
    }),
  ),
  text: Type.Optional(TextMetadata),
  ownResponses: Type.Optional(
    Type.Boolean({
      description: 'True if the handler writes responses of its own in place of the outputs.',
    }),
  ),
  readsMessages: Type.Optional(
    Type.Boolean({ description: 'True if the handler is one that reads requests over gRPC.' }),
  ),
  pipeline: Type.Optional(PipelineParts),
})
export type HandlerMetadata = Static<typeof HandlerMetadata>

/** Returns what a pipeline says of its steps; `undefined` for other models. */
export function asPipeline(description: unknown): PipelineParts | undefined {
  const Pipeline = Type.Object({ handler: Type.Literal('pipeline'), pipeline: PipelineParts })
  return fits(Pipeline, description) ? description.pipeline : undefined
}

/** Whether a model that runs code reads requests over gRPC: pipelines and `OnnxHandler` do. */
export function readsMessages(description: unknown): boolean {
  const Reader = Type.Object({ readsMessages: Type.Literal(true) })
  return fits(Reader, description) || asPipeline(description) !== undefined
}

/**
 * Returns the metadata in its known form; `undefined` if the handler returned none or another form.
 */
export function asHandlerMetadata(description: unknown): HandlerMetadata | undefined {
  return fits(HandlerMetadata, description) ? description : undefined
}
