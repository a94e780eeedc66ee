/** Error bodies of the REST dialects, which the front-end and the worker both write. */
import type { ServerError } from '../errors.ts'
import type { Dialect } from './internal-headers.ts'

/** The name of a member in quotes at the start of an error text. */
const MEMBER = /^"(\w+)/

/**
 * Returns the error body of a dialect. Those of KServe have only `error`, because some clients
 * reject other members.
 */
export function errorBodyFor(error: ServerError, dialect: Dialect): unknown {
  switch (dialect) {
    case 'v1':
    case 'v2':
    case 'grpc':
      return { error: error.message }
    case 'embeddings':
    case 'rerank':
      return { error: openAiError(error) }
    default:
      // Those of text-embeddings-inference.
      return { error: error.message, error_type: teiType(error) }
  }
}

function openAiError({ message, type, statusCode }: ServerError): unknown {
  const isModel = type === 'ModelNotFoundException' || type === 'ModelVersionNotFoundException'
  return {
    message,
    type: statusCode < 500 ? 'invalid_request_error' : 'server_error',
    param: isModel ? 'model' : (MEMBER.exec(message)?.[1] ?? null),
    code: isModel ? 'model_not_found' : type,
  }
}

function teiType({ statusCode }: ServerError): string {
  if (statusCode === 429 || statusCode === 503) return 'Overloaded'
  return statusCode < 500 ? 'Validation' : 'Backend'
}
