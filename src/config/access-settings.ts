/** Settings of who may send requests: API tokens, TLS, CORS, proxies and rate limits. */
import { count, list, text } from './fields.ts'

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
  trustProxy: list(
    'Networks of proxies in front of the server, for example `10.0.0.0/8`, or `loopback`. The client address in the access log and of the rate limit is then the one that they report in `X-Forwarded-For`.',
  ),
  rateLimit: count(
    'Maximum number of inference requests in each `rateLimitWindow`, of each token, or else of each client address; further ones fail with 429. Health paths do not count. 0 disables.',
    0,
  ),
  rateLimitWindow: count('Seconds in which `rateLimit` requests may be sent.', 1, 1, 86_400),
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
