/** Settings of the two listeners: who may connect, what a request may be, what is logged. */
import { MIB, count, flag, list, oneOf, text } from './config-fields.ts'

export const listenerSettings = {
  host: text('Address of the inference listener.', '127.0.0.1'),
  port: count('Port of the inference listener; 0 picks a free one.', 8080, 0, 65_535),
  managementHost: text('Address of the management listener.', '127.0.0.1'),
  managementPort: count('Port of the management listener; 0 picks a free one.', 8081, 0, 65_535),
  managementToken: text(
    'Bearer token that management requests must carry. Required when management listens on anything but loopback.',
    '',
  ),
  allowedHosts: list(
    'Names in the `Host` header that management without a token answers to, besides IP addresses and localhost.',
  ),
  insecureManagement: flag(
    'Let management listen on an open address without a token, as SageMaker multi-model endpoints need it.',
    false,
  ),
  serverName: text(
    'Name of the server in `GET /v2`; some clients of Triton want `triton`.',
    'onnxd',
  ),
  exposeRepository: flag(
    'Let the inference listener load and unload models by `/v2/repository`, as the management listener does.',
    false,
  ),
  lenientParameters: flag(
    'Ignore unknown parameters of management requests, with a warning in the log, instead of refusing them with 400.',
    false,
  ),
  maxConnections: count(
    'Connections that a listener holds; more are closed at once. 0: a quarter of the files that the process may open, at most 10000.',
    0,
    0,
    1_000_000,
  ),
  headersTimeout: count(
    'Seconds a client has to send the head of a request, counted from the connection on.',
    10,
    1,
    86_400,
  ),
  bodyTimeout: count(
    'Seconds without a byte of a request body, after which the request is rejected.',
    10,
    1,
    86_400,
  ),
  requestTimeout: count('Seconds a client has to send its whole request.', 60, 1, 86_400),
  keepAliveTimeout: count(
    'Seconds an idle connection stays open; keep it above the idle time of a proxy in front.',
    72,
    1,
    86_400,
  ),
  writeTimeout: count(
    'Seconds without progress after which a response that its client does not read is cut off.',
    30,
    1,
    86_400,
  ),
  stopDelay: count(
    'Seconds between the stop signal and the end of listening: readiness says 503 already, requests are still served. Set it to the time that a load balancer takes to notice.',
    1,
    0,
    3600,
  ),
  drainTimeout: count(
    'Seconds that accepted requests get to finish when the server or a model stops.',
    30,
    0,
    86_400,
  ),
  maxBodyBytes: count('Largest request body.', 64 * MIB, 1),
  maxJsonBytes: count('Largest JSON request body.', 16 * MIB, 1),
  maxResponseBytes: count('Largest response body.', 64 * MIB, 1),
  memoryBudgetMib: count(
    'Bytes of all request bodies and responses that are held at a time, MiB, on both listeners; beyond it requests get 503. 0 takes a quarter of the memory of the control group or machine.',
    0,
    0,
  ),
  accessLog: flag('Write one log line for each request.', true),
  logLevel: oneOf(
    'Least level that is logged.',
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
  ),
}
