/** Settings of `model.json` for a model with a `tokenizer.json`: what it does with texts. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

/** What a text model does. `none` serves the tensors of the model. */
export const TEXT_TASKS = [
  'text-classification',
  'text-ranking',
  'token-classification',
  'question-answering',
  'fill-mask',
  'feature-extraction',
  'sparse-embedding',
  'none',
] as const

/** How the vectors of tokens become the vector of a text. */
export const POOLINGS = ['cls', 'mean', 'max', 'lasttoken'] as const

export const TextSettings = Type.Object(
  {
    task: Type.Optional(
      stringEnum(TEXT_TASKS, {
        description:
          'What the model does with texts; `none` serves its tensors. Default: derived from `config.json`.',
      }),
    ),
    maxTokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'Maximum number of tokens of a text. Default: the limit in the files.',
      }),
    ),
    maxBatchTokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description:
          'Maximum number of tokens in a run of the model, with padding. A text that is longer runs alone. Default: 512 on a CPU, else 16384.',
      }),
    ),
    truncate: Type.Optional(
      Type.Boolean({
        description:
          'Whether longer texts are cut if the request does not say it. Default: they are rejected with 413.',
      }),
    ),
    pooling: Type.Optional(
      stringEnum(POOLINGS, {
        description:
          'Pooling of embeddings. Default: that of `1_Pooling/config.json`, else `mean`.',
      }),
    ),
    normalize: Type.Optional(
      Type.Boolean({
        description:
          'Whether embeddings are scaled to length 1. Default: whether `modules.json` has `Normalize`.',
      }),
    ),
    multiLabel: Type.Optional(
      Type.Boolean({
        description:
          'Whether a text can have several labels: sigmoid instead of softmax. Default: that of `config.json`.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type TextSettings = Static<typeof TextSettings>
