/** `docs/errors.md`: every error type, out of its table in `src/errors.ts`. */
import { ERROR_TYPES } from '../src/errors.ts'
import type { ErrorType } from '../src/errors.ts'
import { ERROR_HELP } from './error-help.ts'
import { GENERATED, code, table } from './markdown.ts'

/** The whole page. */
export function errorsPage(): string {
  return `${GENERATED}

# Errors

Every error has this body, with \`content-type: application/json\`:

\`\`\`json
{
  "code": 404,
  "type": "ModelNotFoundException",
  "message": "Model not found: digits"
}
\`\`\`

\`code\` is the HTTP status. \`type\` is stable: programs should look at it, or at the status, and never at \`message\`.
Messages name no path of the server, no socket and no stack; the log has them.

${errorTable()}

## Handlers

A handler that fails answers for its whole batch: status and text are its own, the type is
\`InternalServerException\`, as in the original.

| status | message | when |
| --- | --- | --- |
| 503 | \`Prediction failed\` | the handler threw |
| its own | its own | the handler threw a \`PredictionException\`, or an error with a \`statusCode\` |
| 503 | \`Invalid model predict output\` | the handler returned no array |
| 503 | \`number of batch response mismatched\` | the array is not as long as the batch |
| 503 | \`Unsupported model output data type.\` | an element of the array cannot be written as JSON |
| 507 | \`Out of resources\` | memory ran out while the handler ran |

A status that a handler sets for one request (\`context.setResponseStatus\`) is no error in this sense: status, headers
and body are relayed as they are. The built-in handlers do this for requests they cannot take, with the body above,
so that one wrong request never fails its neighbours.

## Before a request is one

What the HTTP parser refuses gets the same body, without an \`x-request-id\`, and the connection closes: 400 for what is no HTTP,
408 for a request that takes longer than \`requestTimeout\` (its head: 10 seconds), 431 for more than 16 KiB of headers.
Only 417, for an \`Expect\` that is not \`100-continue\`, has no body.

## Connections

An error leaves the connection open, except where the rest of the request is not worth reading: 413, and any answer
that is given before the request has come in completely.
`
}

function errorTable(): string {
  const rows = Object.entries(ERROR_TYPES).map(([type, status]) => {
    const help = ERROR_HELP[type as ErrorType]
    return [code(type), String(status), help.cause, help.remedy]
  })
  return table(['Type', 'Status', 'Cause', 'What to do'], rows)
}
