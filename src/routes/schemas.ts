import { Type } from '@sinclair/typebox'
import type { RouteDocumentation } from '../openapi/types.ts'

/** Error body of the MMS and TorchServe routes. */
export const ErrorSchema = Type.Object(
  {
    code: Type.Integer({ description: 'The HTTP status.' }),
    type: Type.String({ description: 'Stable name of the error; see docs/errors.md.' }),
    message: Type.String(),
    log: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Last log lines of a worker that could not load a model; only in responses of the management listener.',
      }),
    ),
  },
  { $id: 'Error', description: 'Error message.' },
)

/** Response body of routes that change something. */
export const StatusSchema = Type.Object({
  status: Type.String(),
  notes: Type.Optional(
    Type.Array(Type.String(), { description: 'Parameters of the request that have no effect.' }),
  ),
})

/** Error responses of every MMS and TorchServe route. */
export const errorResponses = {
  '4xx': ErrorSchema,
  '5xx': ErrorSchema,
}

declare module 'fastify' {
  /** The documentation of a route. */
  interface FastifySchema {
    operationId?: string
    summary?: string
    description?: string
    tags?: readonly string[]
    /** Not in the document. */
    hide?: boolean
    openapi?: RouteDocumentation
  }
}
