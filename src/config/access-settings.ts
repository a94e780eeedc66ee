/** Settings of who may send requests: API tokens, TLS, CORS, proxies and rate limits. */
import { text } from './fields.ts'

export const accessSettings = {
  tokensFile: text(
    'JSON or YAML file with API tokens, see docs/access.md. Requests without one of them get 401. The server reads the file again when it changes.',
    '',
  ),
  tokens: text(
    'API tokens in the form of `tokensFile`, for the environment variable: other users of the machine can read command lines.',
    '',
  ),
}
