/** Writes `docs/errors.md`: every error type, from the table in `src/errors.ts`. */
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

## Malformed HTTP requests

What the HTTP parser rejects gets the same body, without an \`x-request-id\`, and the connection closes: 400 for what is no HTTP,
408 for a request that takes longer than \`requestTimeout\`, whose head takes longer than \`headersTimeout\`, or whose
body stops arriving for \`bodyTimeout\`, 431 for more than 16 KiB or 2000 lines of headers. A request of
HTTP/1.1 without \`Host\`, one with two, and chunks in HTTP/1.0 are 400; a \`Transfer-Encoding\` other than \`chunked\` is 501, or 400
if \`chunked\` is not the last one; an \`Expect\` that is not \`100-continue\` is 417. Nothing behind such a request is executed.

On the paths of KServe and Triton (\`/v1\`, \`/v2\`) the body of an error is \`{"error": "the message"}\`. A request whose URL was not
read (the parser stopped before) gets the first form.

A method that a path does not have is 405, with the methods that it has in \`Allow\`; a path that no route has is 404 for every method.

## Connections

An error leaves the connection open, except for 413 and for any response that is sent before the request has arrived as a
whole. Then the response says \`Connection: close\`. The server closes its side, reads and drops what the client still sends, and closes
the connection once the client has closed its side, has been silent for 2 seconds, or has gone on for 30 seconds or 1 GiB. So the
response also reaches clients that send their whole body before they read, and proxies.

Paths, methods, models and versions that do not exist, a missing token and a body that announces too many bytes are told before the
body is read. A client that sends \`Expect: 100-continue\` is asked for its body when somebody reads it: a request
that is rejected gets no 100.
`
}

function errorTable(): string {
  const rows = Object.entries(ERROR_TYPES).map(([type, status]) => {
    const help = ERROR_HELP[type as ErrorType]
    return [code(type), String(status), help.cause, help.remedy]
  })
  return table(['Type', 'Status', 'Cause', 'What to do'], rows)
}
