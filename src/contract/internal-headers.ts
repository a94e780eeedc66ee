/**
 * Headers between the front-end and its own workers, for facts that the worker protocol has no
 * field for. The front-end relays inference bodies without parsing them; a request header says
 * which dialect the body is in. A request without that header came through a route of MMS or
 * TorchServe.
 */

/** Request header that names the dialect. The front-end removes a client's header of this name. */
export const DIALECT_HEADER = 'Onnxd-Dialect'

/**
 * Request header for a body that travels outside the socket. Its value is `offset+length` in the
 * worker's body file. The front-end removes a client's header of this name.
 */
export const BODY_HEADER = 'Onnxd-Body-At'

/**
 * Request header that ends the profile of a worker which measures its operators, and asks for the
 * result. The front-end removes a client's header of this name.
 */
export const PROFILE_HEADER = 'Onnxd-Profile'

/**
 * Request header of a copy for a shadow version. Its value is the JSON of a `ShadowReference`; the
 * last parameter is the body of the response that the reference gave. The worker runs the request,
 * compares its response with that one, and responds with a `ShadowResult`. The front-end removes a
 * client's header of this name.
 */
export const COMPARE_HEADER = 'Onnxd-Compare'

/** Whether a client may not set this header. */
export function isInternalHeader(name: string): boolean {
  // All names have 13 characters. This test is cheap and excludes most other headers.
  return name.length === DIALECT_HEADER.length && INTERNAL_NAMES.has(name.toLowerCase())
}

const INTERNAL_NAMES: ReadonlySet<string> = new Set([
  DIALECT_HEADER.toLowerCase(),
  BODY_HEADER.toLowerCase(),
  PROFILE_HEADER.toLowerCase(),
  COMPARE_HEADER.toLowerCase(),
])

/**
 * `v2`: Open Inference Protocol, `/v2/models/{model}/infer`; `grpc`: the messages of the same
 * protocol over gRPC; `v1`: KServe's `/v1/models/{model}:predict`.
 */
export type Dialect = 'v1' | 'v2' | 'grpc' | TextDialect

/**
 * Bodies in the form of other servers for texts: `embeddings` is that of OpenAI, `rerank` that of
 * Cohere, the others are those of text-embeddings-inference.
 */
export const TEXT_DIALECTS = [
  'embeddings',
  'rerank',
  'tei-embed',
  'tei-embed-all',
  'tei-embed-sparse',
  'tei-predict',
  'tei-rerank',
  'tei-similarity',
  'tei-tokenize',
  'tei-decode',
] as const
export type TextDialect = (typeof TEXT_DIALECTS)[number]

/**
 * Response header of the worker: the size of the batch dimension of a `v1`, `v2` or `grpc` request,
 * if it is more than 1. The front-end counts it for Triton's statistics, because it does not parse
 * the body. The header is not sent to the client.
 */
export const ROWS_HEADER = 'Onnxd-Rows'

/**
 * Response header of the worker: how many tokens the model has run for the texts of a request, and
 * how many more for padding, as `tokens+padding`. The front-end counts them; the header is not sent
 * to the client.
 */
export const TOKENS_HEADER = 'Onnxd-Tokens'
