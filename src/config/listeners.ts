/** Settings of the two listeners: who may connect, limits of requests, and logs. */
import { Type } from '@sinclair/typebox'
import { MIB, count, flag, list, oneOf, text } from './fields.ts'

export const listenerSettings = {
  host: text(
    'IP address or host name that the inference listener binds to; `0.0.0.0` accepts requests from the network.',
    '127.0.0.1',
  ),
  port: count('Port of the inference listener; 0 picks a free port.', 8080, 0, 65_535),
  httpProcesses: Type.Union([Type.Integer({ minimum: 1, maximum: 64 }), Type.Literal('auto')], {
    description:
      'HTTP processes that share the inference port, for machines with many cores. Each has its own part of the workers, queues and limits; every model has at least one worker in each. `auto` starts one for every 4 cores, at most 8.',
    default: 1,
  }),
  managementHost: text(
    'IP address or host name that the management listener binds to. Beyond localhost it needs `managementToken` or API tokens for management.',
    '127.0.0.1',
  ),
  managementPort: count('Port of the management listener; 0 picks a free port.', 8081, 0, 65_535),
  managementToken: text(
    'Bearer token that management requests must send; others get 401. Required when the management listener binds to anything but localhost and there are no API tokens for it.',
    '',
  ),
  allowedHosts: list(
    'Host names that the management listener accepts in the `Host` header when it has no token, besides IP addresses and localhost; others get 403.',
  ),
  insecureManagement: flag(
    'Allow a management listener on the network without a token: anyone who can connect can register models. SageMaker multi-model endpoints need it.',
    false,
  ),
  serverName: text('Server name in `GET /v2`. Some Triton clients require `triton`.', 'onnxd'),
  exposeRepository: flag(
    'Serve `/v2/repository` on the inference listener as well: anyone who can send predictions can load and unload models.',
    false,
  ),
  lenientParameters: flag(
    'Ignore unknown parameters of management requests and log a warning. When false, such a request fails with 400.',
    false,
  ),
  maxConnections: count(
    'Maximum open connections of each listener; further connections are closed immediately. 0 means a quarter of the open-file limit of the process, at most 10000.',
    0,
    0,
    1_000_000,
  ),
  headersTimeout: count(
    'Seconds a client has to send the request headers, counted from the start of the connection; then the request fails with 408.',
    10,
    1,
    86_400,
  ),
  bodyTimeout: count(
    'Seconds that a request body may pause; after that the request fails with 408.',
    10,
    1,
    86_400,
  ),
  requestTimeout: count(
    'Seconds a client has to send its whole request; then the request fails with 408.',
    60,
    1,
    86_400,
  ),
  keepAliveTimeout: count(
    'Seconds before an idle connection is closed. Set it higher than the idle timeout of a proxy in front, otherwise the proxy sees reset connections.',
    72,
    1,
    86_400,
  ),
  writeTimeout: count(
    'Seconds that a client may stop reading a response; then the connection is closed.',
    30,
    1,
    86_400,
  ),
  stopDelay: count(
    'Seconds that requests are still accepted after the stop signal, while the readiness paths return 503. Set it to the time in which your load balancer notices.',
    1,
    0,
    3600,
  ),
  drainTimeout: count(
    'Seconds that accepted requests have to finish when the server stops or a model is unregistered; then they are ended.',
    30,
    0,
    86_400,
  ),
  maxBodyBytes: count(
    'Maximum size of a request body, in bytes; a larger one fails with 413.',
    64 * MIB,
    1,
  ),
  maxJsonBytes: count(
    'Maximum size of a JSON request body, in bytes; a larger one fails with 413.',
    16 * MIB,
    1,
  ),
  maxResponseBytes: count(
    'Maximum size of a response body, in bytes; a prediction with a larger one fails with 507.',
    64 * MIB,
    1,
  ),
  memoryBudgetMib: count(
    'Maximum memory for all request and response bodies of both listeners together, in MiB. Bodies may occupy three quarters of it, above which requests fail with 503; the rest is for freed buffers. 0 means a quarter of the memory of the container or machine.',
    0,
    0,
  ),
  accessLog: flag('Write one log line for each request.', true),
  accessLogSample: count(
    'Write the line of one of this many requests that succeed. Requests that fail always have theirs.',
    1,
    1,
  ),
  serverTiming: flag(
    'Add a Server-Timing header to the responses of predictions: where their time went.',
    true,
  ),
  logLevel: oneOf(
    'Minimum log level.',
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
  ),
  logFormat: oneOf(
    'Form of a log line: pretty is for people; json has numbers for level and time, as pino writes them; json-iso has names and ISO 8601. auto is pretty on a terminal, otherwise json.',
    ['auto', 'json', 'json-iso', 'pretty'],
    'auto',
  ),
}
