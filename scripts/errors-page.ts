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
Messages do not contain paths of the server, socket names or stack traces. These are in the log.

${errorTable()}

## Handlers

If a handler fails, all requests of its batch get the error. The handler sets status and message; the type is
\`InternalServerException\`, as in MMS.

| status | message | when |
| --- | --- | --- |
| 503 | \`Prediction failed\` | the handler threw |
| set by the handler | set by the handler | the handler threw a \`PredictionException\`, or an error with a \`statusCode\` |
| 503 | \`Invalid model predict output\` | the handler did not return an array |
| 503 | \`number of batch response mismatched\` | the length of the array is not the number of requests in the batch |
| 503 | \`Unsupported model output data type.\` | an element of the array cannot be converted to JSON |
| 507 | \`Out of resources\` | memory ran out while the handler ran |

A status that a handler sets for one request (\`context.setResponseStatus\`) is not such an error: status, headers
and body are sent unchanged. The built-in handlers do this for invalid requests, with the body above,
so an invalid request never affects other requests of its batch.

## Malformed HTTP requests

The HTTP parser rejects malformed requests. The response has the body above, without an \`x-request-id\`, and the
connection is closed. The status is

- 400 for data that is not HTTP, for an HTTP/1.1 request without \`Host\` or with more than one, for chunks in HTTP/1.0, and
  for a \`Transfer-Encoding\` that does not end with \`chunked\`,
- 408 for a request that takes longer than \`requestTimeout\`, whose headers take longer than \`headersTimeout\`, or whose body
  pauses for \`bodyTimeout\`,
- 417 for an \`Expect\` header other than \`100-continue\`,
- 431 for more than 16 KiB or 2000 lines of headers,
- 501 for a \`Transfer-Encoding\` other than \`chunked\`.

Nothing behind such a request on its connection is executed.

On the paths of KServe and Triton (\`/v1\`, \`/v2\`) the body of an error is \`{"error": "the message"}\`. If the parser stopped
before it read the URL, the error has the first form.

A method that a path does not support gets 405; \`Allow\` lists the supported methods. An unknown path gets 404 for every
method.

## Connections

The connection stays open after an error, except for 413 and for any response that is sent before the request has arrived
completely. Such a response has \`Connection: close\`. The server then closes its side, discards the rest of the request, and closes
the connection when the client has closed its side, has sent nothing for 2 seconds, or has sent for 30 seconds or 1 GiB. So the
response also reaches proxies and clients that send their whole body before they read.

The server reports unknown paths, methods, models and versions, a missing token and a \`Content-Length\` above the limit before it reads
the body. A client that sends \`Expect: 100-continue\` receives \`100 Continue\` when the server starts to read the body; a request
that is rejected before does not get it.
`
}

function errorTable(): string {
  const rows = Object.entries(ERROR_TYPES).map(([type, status]) => {
    const help = ERROR_HELP[type as ErrorType]
    return [code(type), String(status), help.cause, help.remedy]
  })
  return table(['Type', 'Status', 'Cause', 'What to do'], rows)
}
