/**
 * Embeddings and ranking of texts on the paths of OpenAI, Cohere and text-embeddings-inference. The
 * body names the model. The worker reads and writes the bodies.
 */
import { Type } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import type { TextDialect } from '../../contract/internal-headers.ts'
import { PRIORITY_PARAMETERS } from '../../openapi/priority-parameters.ts'
import { plainBody } from '../http/content-encoding.ts'
import { relay } from '../inference/relay.ts'
import { bodyParameter } from '../inference/request-parameters.ts'
import type { App, RouteContext } from '../route-context.ts'
import { requestedModel, textMember } from './requested-model.ts'
import * as schemas from './text-route-schemas.ts'

interface TextRoute {
  readonly url: string
  readonly operationId: string
  readonly summary: string
  readonly tag: string
  readonly dialect: TextDialect
  readonly request: TSchema
  readonly response: TSchema
  readonly error: TSchema
}

const ROUTES: readonly TextRoute[] = [
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
  {
    url: '/rerank',
    operationId: 'rerank',
    summary: 'Rank texts for a query, in the form of text-embeddings-inference or Cohere',
    tag: 'text-embeddings-inference',
    dialect: 'tei-rerank',
    // Cohere's form is described on `/v1/rerank`: a union without a discriminator breaks
    // generators.
    request: schemas.TeiRerankRequest,
    response: schemas.TeiRerankResponse,
    error: schemas.TeiError,
  },
  {
    url: '/embed',
    operationId: 'embed',
    summary: 'Embeddings of texts, in the form of text-embeddings-inference',
    tag: 'text-embeddings-inference',
    dialect: 'tei-embed',
    request: schemas.TeiEmbedRequest,
    response: Type.Array(Type.Array(Type.Number())),
    error: schemas.TeiError,
  },
  {
    url: '/similarity',
    operationId: 'similarity',
    summary: 'Similarity of texts to a text, in the form of text-embeddings-inference',
    tag: 'text-embeddings-inference',
    dialect: 'tei-similarity',
    request: schemas.TeiSimilarityRequest,
    response: Type.Array(Type.Number()),
    error: schemas.TeiError,
  },
]

export function textRoutes(app: App, { registry, config }: RouteContext): void {
  for (const { url, operationId, summary, tag, dialect, request, response, error } of ROUTES) {
    const content = { 'application/json': { schema: request } }
    app.post(
      url,
      {
        schema: {
          operationId,
          summary,
          tags: [tag],
          response: { 200: response, '4xx': error, '5xx': error },
          openapi: { parameters: PRIORITY_PARAMETERS, requestBody: { required: true, content } },
        },
      },
      async (received, reply) => {
        const name = textMember(await plainBody(received, config.maxBodyBytes), 'model')
        const parameters = bodyParameter(received)
        return relay(() => requestedModel(registry, name), parameters, received, reply, dialect)
      },
    )
  }
}
