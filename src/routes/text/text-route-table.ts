/** The paths of other servers for texts, with their bodies. */
import { Type } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import type { TextDialect } from '../../contract/internal-headers.ts'
import * as tei from './tei-schemas.ts'
import * as schemas from './text-route-schemas.ts'

export interface TextRoute {
  readonly url: string
  readonly operationId: string
  readonly summary: string
  readonly tag: string
  readonly dialect: TextDialect
  readonly request: TSchema
  readonly response: TSchema
  readonly error: TSchema
}

/** Paths of OpenAI and Cohere. */
export const NAMED_ROUTES: readonly TextRoute[] = [
  {
    url: '/v1/embeddings',
    operationId: 'createEmbeddings',
    summary: 'Embeddings of texts, in the form of OpenAI',
    tag: 'OpenAI',
    dialect: 'embeddings',
    request: schemas.EmbeddingsRequest,
    response: schemas.EmbeddingsResponse,
    error: schemas.OpenAiError,
  },
  {
    url: '/v1/rerank',
    operationId: 'rerankV1',
    summary: 'Rank texts for a query, in the form of Cohere',
    tag: 'Cohere',
    dialect: 'rerank',
    request: schemas.RankDocumentsRequest,
    response: schemas.RerankResponse,
    error: schemas.OpenAiError,
  },
]

/** Paths of text-embeddings-inference; each is also below `/models/{model}`. */
export const TEI_ROUTES: readonly Omit<TextRoute, 'tag' | 'error'>[] = [
  {
    url: '/rerank',
    operationId: 'rerank',
    summary: 'Rank texts for a query, in the form of text-embeddings-inference or Cohere',
    dialect: 'tei-rerank',
    // Cohere's form is described on `/v1/rerank`: a union without a discriminator breaks
    // generators.
    request: tei.TeiRerankRequest,
    response: tei.TeiRerankResponse,
  },
  {
    url: '/embed',
    operationId: 'embed',
    summary: 'Embeddings of texts, in the form of text-embeddings-inference',
    dialect: 'tei-embed',
    request: tei.TeiEmbedRequest,
    response: Type.Array(Type.Array(Type.Number())),
  },
  {
    url: '/similarity',
    operationId: 'similarity',
    summary: 'Similarity of texts to a text, in the form of text-embeddings-inference',
    dialect: 'tei-similarity',
    request: tei.TeiSimilarityRequest,
    response: Type.Array(Type.Number()),
  },
  {
    url: '/embed_all',
    operationId: 'embedAll',
    summary: 'Vectors of all tokens, in the form of text-embeddings-inference',
    dialect: 'tei-embed-all',
    request: tei.TeiEmbedAllRequest,
    response: tei.TeiEmbedAllResponse,
  },
  {
    url: '/embed_sparse',
    operationId: 'embedSparse',
    summary: 'Sparse embeddings, in the form of text-embeddings-inference',
    dialect: 'tei-embed-sparse',
    request: tei.TeiEmbedSparseRequest,
    response: tei.TeiEmbedSparseResponse,
  },
  {
    url: '/predict',
    operationId: 'classifyTexts',
    summary: 'Text classification, in the form of text-embeddings-inference',
    dialect: 'tei-predict',
    request: tei.TeiPredictRequest,
    response: tei.TeiPredictResponse,
  },
  {
    url: '/tokenize',
    operationId: 'tokenize',
    summary: 'Tokens of texts, in the form of text-embeddings-inference',
    dialect: 'tei-tokenize',
    request: tei.TeiTokenizeRequest,
    response: tei.TeiTokenizeResponse,
  },
  {
    url: '/decode',
    operationId: 'decode',
    summary: 'Texts of token ids, in the form of text-embeddings-inference',
    dialect: 'tei-decode',
    request: tei.TeiDecodeRequest,
    response: tei.TeiDecodeResponse,
  },
]
