/** Bodies of the routes for texts. For the documents only: the worker reads and writes them. */
import { Type } from '@sinclair/typebox'
import { stringEnum } from '../../schema.ts'

export const Model = Type.Optional(
  Type.String({
    description:
      'Name of the model, or `name:version`. Optional if the server has one model for texts.',
  }),
)
export const Truncate = Type.Optional(Type.Boolean({ description: 'Cut texts that are too long.' }))
export const TokenId = Type.Integer({ minimum: 0 })
/** Not more exact: generators cannot tell two lists apart. */
export const TextsOrTokens = Type.Union(
  [
    Type.String(),
    Type.Array(Type.Union([Type.String(), TokenId, Type.Array(TokenId)]), { minItems: 1 }),
  ],
  {
    description:
      'A text, a list of texts, a list of token ids, or a list of such lists. Token ids are those of the tokenizer of the model.',
  },
)
export const Index = Type.Integer({
  minimum: 0,
  description: 'Position of the text in the request.',
})
export const Score = Type.Number({ description: 'How well the text fits.' })
/** The parameters of the model's task. */
export const EmbeddingOptions = {
  dimensions: Type.Optional(
    Type.Integer({ minimum: 1, description: 'Length of the vectors; default: that of the model.' }),
  ),
  truncate: Truncate,
  normalize: Type.Optional(Type.Boolean({ description: 'Scale each vector to length 1.' })),
  prompt: Type.Optional(Type.String({ description: 'Text to put before each text.' })),
  prompt_name: Type.Optional(Type.String({ description: 'Name of a prompt of the model.' })),
}
const Usage = Type.Object({
  prompt_tokens: Type.Integer({ minimum: 0 }),
  total_tokens: Type.Integer({ minimum: 0 }),
})

export const OpenAiError = Type.Object(
  {
    error: Type.Object({
      message: Type.String(),
      type: stringEnum(['invalid_request_error', 'server_error']),
      param: Type.Unsafe<string | null>({ type: ['string', 'null'] }),
      code: Type.String({ description: '`model_not_found`, or a type of docs/errors.md.' }),
    }),
  },
  { $id: 'OpenAIError' },
)

export const EmbeddingsRequest = Type.Object(
  {
    model: Model,
    input: TextsOrTokens,
    encoding_format: Type.Optional(
      stringEnum(['float', 'base64', 'int8', 'uint8', 'binary', 'ubinary'], {
        description: 'Default: `float`. `base64` has float32 numbers, little-endian.',
      }),
    ),
    user: Type.Optional(Type.String({ description: 'Ignored.' })),
    ...EmbeddingOptions,
  },
  { $id: 'EmbeddingsRequest', additionalProperties: false },
)

export const EmbeddingsResponse = Type.Object(
  {
    object: Type.Literal('list'),
    data: Type.Array(
      Type.Object({
        object: Type.Literal('embedding'),
        index: Index,
        embedding: Type.Union([Type.Array(Type.Number()), Type.String()]),
      }),
    ),
    model: Type.String(),
    usage: Usage,
  },
  { $id: 'EmbeddingsResponse' },
)

const Document = Type.Object({ text: Type.String() }, { additionalProperties: true })

export const RankDocumentsRequest = Type.Object(
  {
    model: Model,
    query: Type.String(),
    documents: Type.Array(Type.Union([Type.String(), Document]), { minItems: 1 }),
    top_n: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Maximum number of results; default: all.' }),
    ),
    return_documents: Type.Optional(Type.Boolean()),
    truncate: Type.Optional(
      Type.Boolean({ description: 'Cut texts that are too long; default: true.' }),
    ),
  },
  { $id: 'RankDocumentsRequest', additionalProperties: false },
)

export const RerankResponse = Type.Object(
  {
    model: Type.String(),
    results: Type.Array(
      Type.Object({
        index: Index,
        relevance_score: Score,
        document: Type.Optional(Type.Object({ text: Type.String() })),
      }),
    ),
    meta: Type.Object({ tokens: Type.Object({ input_tokens: Type.Integer({ minimum: 0 }) }) }),
    usage: Usage,
  },
  { $id: 'RerankResponse' },
)
