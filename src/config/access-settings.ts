/** Settings of who may send requests: API tokens, TLS, CORS, proxies and rate limits. */
import { list, text } from './fields.ts'

export const accessSettings = {
  tokensFile: text(
    'JSON or YAML file with API tokens, see docs/access.md. Requests without one of them get 401. The server reads the file again when it changes.',
    '',
  ),
  tokens: text(
    'API tokens in the form of `tokensFile`, for the environment variable: other users of the machine can read command lines.',
    '',
  ),
  corsOrigins: list(
    'Origins (scheme, host and port) whose web pages may use the inference listener, or `*` for all. Management never allows other origins.',
  ),
  corsMethods: list(
    'Methods that pages of `corsOrigins` may use. Default: all methods of the inference routes.',
  ),
  corsHeaders: list('Request headers that pages of `corsOrigins` may send. Default: any header.'),
  tlsCert: text(
    'File with the TLS certificate and its chain, in PEM form. Both listeners then accept https only. The server reads the file again when it changes.',
    '',
  ),
  tlsKey: text('File with the key of `tlsCert`, in PEM form, not encrypted.', ''),
  tlsClientCa: text(
    'File with certificates of authorities, in PEM form. Clients of both listeners then need a certificate that one of them has signed.',
    '',
  ),
}
