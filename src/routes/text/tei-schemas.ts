/** Bodies in the form of text-embeddings-inference. For the documents only, as the others are. */
import { Type } from '@sinclair/typebox'
import { stringEnum } from '../../schema.ts'
import {
  EmbeddingOptions,
  Index,
  Model,
  Score,
  TextsOrTokens,
  TokenId,
  Truncate,
} from './text-route-schemas.ts'

const PromptName = EmbeddingOptions.prompt_name
const Direction = Type.Optional(
  stringEnum(['Left', 'Right'], {
    description: 'Where a text that is too long is cut. Default: as `tokenizer.json` says.',
  }),
)
const Texts = Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })])

export const TeiError = Type.Object(
  {
    error: Type.String(),
    error_type: stringEnum(['Validation', 'Overloaded', 'Backend']),
  },
  { $id: 'TextEmbeddingsInferenceError' },
)

export const TeiRerankRequest = Type.Object(
  {
    model: Model,
    query: Type.String(),
    texts: Type.Array(Type.String(), { minItems: 1 }),
    raw_scores: Type.Optional(Type.Boolean({ description: 'Logits instead of probabilities.' })),
    return_text: Type.Optional(Type.Boolean()),
    truncate: Truncate,
    truncation_direction: Direction,
  },
  { $id: 'RankTextsRequest', additionalProperties: false },
)

export const TeiRerankResponse = Type.Array(
  Type.Object({ index: Index, score: Score, text: Type.Optional(Type.String()) }),
)

export const TeiEmbedRequest = Type.Object(
  {
    model: Model,
    inputs: TextsOrTokens,
    ...EmbeddingOptions,
    truncation_direction: Direction,
  },
  { $id: 'EmbedRequest', additionalProperties: false },
)

export const TeiSimilarityRequest = Type.Object(
  {
    model: Model,
    inputs: Type.Object({
      source_sentence: Type.String(),
      sentences: Type.Array(Type.String(), { minItems: 1 }),
    }),
    parameters: Type.Optional(
      Type.Object({
        truncate: Truncate,
        truncation_direction: Direction,
        prompt_name: Type.Optional(Type.String()),
      }),
    ),
  },
  { $id: 'SimilarityRequest', additionalProperties: false },
)

export const TeiEmbedAllRequest = Type.Object(
  {
    model: Model,
    inputs: TextsOrTokens,
    truncate: Truncate,
    truncation_direction: Direction,
    prompt: EmbeddingOptions.prompt,
    prompt_name: PromptName,
  },
  { $id: 'EmbedAllRequest', additionalProperties: false },
)

export const TeiEmbedAllResponse = Type.Array(Type.Array(Type.Array(Type.Number())))

export const TeiEmbedSparseRequest = Type.Object(
  {
    model: Model,
    inputs: TextsOrTokens,
    truncate: Truncate,
    truncation_direction: Direction,
  },
  { $id: 'EmbedSparseRequest', additionalProperties: false },
)

export const TeiEmbedSparseResponse = Type.Array(
  Type.Array(
    Type.Object(
      {
        index: Type.Integer({ minimum: 0, description: 'Id of the token.' }),
        value: Type.Number(),
      },
      { $id: 'SparseValue' },
    ),
  ),
)

export const TeiPredictRequest = Type.Object(
  {
    model: Model,
    inputs: Type.Union(
      [
        Type.String(),
        Type.Array(
          Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: 2 })]),
          { minItems: 1 },
        ),
      ],
      {
        description:
          'A text, a pair of two texts, or a list of lists with one text or a pair in each.',
      },
    ),
    raw_scores: Type.Optional(Type.Boolean({ description: 'Logits instead of probabilities.' })),
    truncate: Truncate,
    truncation_direction: Direction,
  },
  { $id: 'ClassifyTextsRequest', additionalProperties: false },
)

const ScoredLabel = Type.Object(
  { score: Type.Number(), label: Type.String() },
  { $id: 'ScoredLabel' },
)

export const TeiPredictResponse = Type.Array(Type.Union([ScoredLabel, Type.Array(ScoredLabel)]), {
  description: 'All labels, the best first; a list for each text if the request has a list.',
})

export const TeiTokenizeRequest = Type.Object(
  {
    model: Model,
    inputs: Texts,
    add_special_tokens: Type.Optional(Type.Boolean({ description: 'Default: true.' })),
    prompt_name: PromptName,
  },
  { $id: 'TokenizeRequest', additionalProperties: false },
)

const Place = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, description })

export const TeiTokenizeResponse = Type.Array(
  Type.Array(
    Type.Object(
      {
        id: TokenId,
        text: Type.String(),
        special: Type.Boolean(),
        start: Place('First character in the text, in code points; null for a special token.'),
        stop: Place('The character after the last one; null for a special token.'),
      },
      { $id: 'TextToken' },
    ),
  ),
)

export const TeiDecodeRequest = Type.Object(
  {
    model: Model,
    ids: Type.Array(Type.Union([TokenId, Type.Array(TokenId)]), {
      description: 'Token ids, or a list of such lists.',
    }),
    skip_special_tokens: Type.Optional(Type.Boolean({ description: 'Default: true.' })),
  },
  { $id: 'DecodeRequest', additionalProperties: false },
)

export const TeiDecodeResponse = Type.Array(Type.String())

const Labels = Type.Object({
  id2label: Type.Record(Type.String(), Type.String()),
  label2id: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
})

export const TeiInfo = Type.Object(
  {
    model_id: Type.String({ description: 'Name of the model.' }),
    model_dtype: Type.String({ description: 'Type of the numbers that the model returns.' }),
    model_type: Type.Object(
      {
        classifier: Type.Optional(Labels),
        reranker: Type.Optional(Labels),
        embedding: Type.Optional(Type.Object({ pooling: Type.String() })),
      },
      { description: 'Empty for a task that text-embeddings-inference does not have.' },
    ),
    max_concurrent_requests: Type.Integer({ minimum: 0, description: 'Size of the queue.' }),
    max_input_length: Type.Integer({ minimum: 0, description: 'Maximum tokens of a text.' }),
    max_batch_tokens: Type.Integer({ minimum: 0, description: 'Maximum tokens of a run.' }),
    max_client_batch_size: Type.Integer({ minimum: 0, description: 'Maximum texts of a request.' }),
    auto_truncate: Type.Boolean({ description: 'Whether longer texts are cut by default.' }),
    tokenization_workers: Type.Integer({ minimum: 0, description: 'Number of workers.' }),
    version: Type.String({ description: 'Version of onnxd.' }),
  },
  { $id: 'TextModelInfo' },
)
