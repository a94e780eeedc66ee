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
