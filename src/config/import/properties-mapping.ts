/**
 * Maps each key of an MMS or TorchServe `config.properties` to a setting of onnxd, or to the reason
 * why it is ignored.
 */
import path from 'node:path'
import { ConfigError } from '../../errors.ts'
import { INFERENCE, MANAGEMENT, address, corsList, corsOrigins, tlsFile } from './access-keys.ts'
import type { MappedKey, Rule, RuleContext } from './mapped-key.ts'

const DAY = 86_400
const MAX_INT32 = 2 ** 31 - 1
const WORKER_MEMORY =
  'onnxd has no JVM; use the setting workerHeapMib to limit the heap of a worker'
const KEYSTORE = 'onnxd reads PEM files; convert the keystore, then set tlsCert and tlsKey'
const NO_GRPC = 'onnxd does not support gRPC'
const NODE_IO = 'this key tunes Netty; onnxd runs on Node.js, which has no such setting'
const METRICS = 'the management listener always serves metrics at /metrics'
const HANDLER_METRICS = 'all metrics that handlers print are served; none has to be declared'
const PYTHON = 'Python workers run in the environment that --python names; onnxd does not change it'
const WORKER_SOCKET = 'onnxd connects to workers through unix sockets'

/** Keys of both servers, or only of MMS. */
export const COMMON_RULES: Readonly<Record<string, Rule>> = {
  inference_address: (value, context) => address(value, INFERENCE, context),
  management_address: (value, context) => address(value, MANAGEMENT, context),
  model_store: (value) => [{ setting: 'modelStore', value }],
  load_models: loadModels,
  default_workers_per_model: (value) =>
    value === '0'
      ? [
          {
            reason:
              'in MMS and TorchServe 0 means one worker for each GPU or CPU, in onnxd no worker; set workers',
          },
        ]
      : integer(value, 'workers', 1, 256),
  default_response_timeout: responseTimeout,
  default_response_timeout_seconds: (value) =>
    value.startsWith('-')
      ? [{ reason: 'a negative value means that the key is not set' }]
      : integer(value, 'responseTimeout', 1, DAY),
  unregister_model_timeout: 'onnxd kills workers as soon as drainTimeout is over',
  job_queue_size: (value) => integer(value, 'queueSize', 1, 1_000_000),
  max_request_size: (value) => [
    ...integer(value, 'maxBodyBytes', 1, MAX_INT32),
    ...integer(value, 'maxJsonBytes', 1, MAX_INT32),
  ],
  max_response_size: (value) => integer(value, 'maxResponseBytes', 1, MAX_INT32),
  number_of_gpu: (value) => integer(value, 'gpus', 0, 64),
  debug: (value) =>
    value.toLowerCase() === 'true'
      ? [{ setting: 'logLevel', value: 'debug' }]
      : [{ reason: 'debug logs are off by default' }],
  number_of_netty_threads: NODE_IO,
  netty_client_threads: NODE_IO,
  use_native_io: NODE_IO,
  io_ratio: NODE_IO,
  prefer_direct_buffer: NODE_IO,
  preload_model: 'each worker loads the model itself; workers are not forked',
  default_service_handler: 'the handler is named in the model or in its registration',
  decode_input_request: 'the handler decodes each request by its content type',
  blacklist_env_vars:
    'workers get only a few safe variables and those that workerEnvironment lists',
  cors_allowed_origin: corsOrigins,
  cors_allowed_methods: (value, context) => corsList(value, 'corsMethods', context),
  cors_allowed_headers: (value, context) => corsList(value, 'corsHeaders', context),
  keystore: KEYSTORE,
  keystore_pass: KEYSTORE,
  keystore_type: KEYSTORE,
  private_key_file: (value, context) => tlsFile(value, 'tlsKey', context),
  certificate_file: (value, context) => tlsFile(value, 'tlsCert', context),
  async_logging: 'logging is always asynchronous',
  metric_time_interval: 'system metrics are measured at each request of /metrics',
  model_server_home: 'onnxd needs no home folder',
  vmargs: WORKER_MEMORY,
  plugins_path: 'onnxd does not load Java plugins; the SageMaker routes are built in',
}

/** Keys that only TorchServe has. A file with one of them was written for TorchServe. */
export const TORCHSERVE_RULES: Readonly<Record<string, Rule>> = {
  metrics_address: 'the management listener serves metrics at /metrics',
  models: 'set workers, batching and version of a model in its model.json or in its registration',
  model_snapshot: modelSnapshot,
  default_startup_timeout: (value) => integer(value, 'loadTimeout', 1, DAY),
  service_envelope: 'the paths under /v2 accept Open Inference Protocol bodies without an envelope',
  initial_worker_port: WORKER_SOCKET,
  initial_distribution_port: WORKER_SOCKET,
  allowed_urls: 'patterns are not supported; list the allowed origins in allowedOrigins',
  use_env_allowed_urls: 'see allowed_urls',
  install_py_dep_per_model: PYTHON,
  workflow_store: 'onnxd does not support workflows',
  enable_metrics_api: METRICS,
  metrics_config: (value) => [{ setting: 'metricsConfig', value }],
  metrics_mode: METRICS,
  metrics_format: METRICS,
  model_metrics_auto_detect: HANDLER_METRICS,
  disable_system_metrics: METRICS,
  system_metrics_cmd: METRICS,
  grpc_inference_address: NO_GRPC,
  grpc_inference_port: NO_GRPC,
  grpc_management_address: NO_GRPC,
  grpc_management_port: NO_GRPC,
  grpc_inference_max_connection_age_ms: NO_GRPC,
  grpc_inference_max_connection_age_grace_ms: NO_GRPC,
  grpc_management_max_connection_age_ms: NO_GRPC,
  grpc_management_max_connection_age_grace_ms: NO_GRPC,
  enable_grpc_ssl: NO_GRPC,
  limit_max_image_pixels: 'the size of images is always limited',
  enable_model_api: 'the management API is always on, for localhost or with managementToken',
  disable_token_authorization:
    'management on localhost needs no token; elsewhere it needs managementToken',
  token_expiration_min: 'tokens do not expire; replace them in tokensFile',
  ts_header_key_sequence_id: 'onnxd does not support sequence batching',
  ts_header_key_sequence_start: 'onnxd does not support sequence batching',
  ts_header_key_sequence_end: 'onnxd does not support sequence batching',
  ts_open_inference_protocol: 'the paths under /v2 always accept Open Inference Protocol bodies',
  ipex_enable: PYTHON,
  ipex_gpu_enable: PYTHON,
  cpu_launcher_enable: PYTHON,
  cpu_launcher_args: PYTHON,
  cpp_log_config: 'onnxd has no C++ worker',
}

/**
 * Reads an integer. A value above `most` becomes `most`; a value below `least` is ignored.
 * @throws ConfigError if the value is not an integer.
 */
export function integer(value: string, setting: string, least: number, most: number): MappedKey[] {
  if (!/^[+-]?\d{1,15}$/.test(value)) throw new ConfigError(`${setting} must be an integer.`)
  const number = Number(value)
  if (number < least) return [{ reason: `the minimum of ${setting} is ${least}` }]
  if (number <= most) return [{ setting, value: number }]
  return [{ setting, value: most, note: `the maximum of ${setting} is ${most}` }]
}

/** Converts minutes to `responseTimeout`. */
export function minutes(value: string): MappedKey[] {
  if (!/^[+-]?\d{1,9}$/.test(value)) throw new ConfigError('responseTimeout must be an integer.')
  return integer(String(Number(value) * 60), 'responseTimeout', 1, DAY).map((outcome) =>
    'setting' in outcome ? { note: `${value} minutes`, ...outcome } : outcome,
  )
}

function responseTimeout(value: string, { flavour, properties }: RuleContext): MappedKey[] {
  const seconds = properties.get('default_response_timeout_seconds')?.trim() ?? ''
  if (/^\+?\d+$/.test(seconds))
    return [{ reason: 'default_response_timeout_seconds is set as well and has precedence' }]
  return flavour === 'mms' ? minutes(value) : integer(value, 'responseTimeout', 1, DAY)
}

function loadModels(value: string, { properties }: RuleContext): MappedKey[] {
  if (/^(all|none)$/i.test(value)) return [{ setting: 'load', value: value.toLowerCase() }]
  const names: string[] = []
  const outcomes: MappedKey[] = []
  for (const entry of value.split(',').map((part) => part.trim())) {
    if (entry === '') continue
    const [, name, url = entry] = /^([^/=]+)=(.+)$/.exec(entry) ?? []
    if (name === undefined && !/^[a-z][a-z0-9+.-]*:|^\//i.test(url)) names.push(url)
    else outcomes.push(modelArgument(name, url, properties))
  }
  return [{ setting: 'load', value: names.length === 0 ? 'none' : names.join(',') }, ...outcomes]
}

/** Reads the models of a TorchServe snapshot: `{"models": {name: {version: {marName, …}}}}`. */
function modelSnapshot(value: string, { properties }: RuleContext): MappedKey[] {
  let content: unknown
  try {
    content = JSON.parse(value)
  } catch (cause) {
    throw new ConfigError('the value is not valid JSON.', { cause })
  }
  const outcomes: MappedKey[] = []
  for (const [name, versions] of entriesOf(fieldOf(content, 'models'))) {
    const all = entriesOf(versions).map(([, version]) => version)
    const chosen = all.find((version) => fieldOf(version, 'defaultVersion') === true) ?? all[0]
    const file = fieldOf(chosen, 'marName')
    if (typeof file === 'string') outcomes.push(modelArgument(name, file, properties))
    if (all.length > 1) outcomes.push({ reason: `only the default version of ${name} is loaded` })
  }
  outcomes.push({ reason: 'set workers and batching of a model in its model.json' })
  return outcomes
}

function modelArgument(
  name: string | undefined,
  url: string,
  properties: ReadonlyMap<string, string>,
): MappedKey {
  const store = properties.get('model_store')?.trim() ?? ''
  const shown = name ?? path.basename(url)
  if (/^[a-z][a-z0-9+.-]*:/i.test(url))
    return { reason: `${shown} is a URL; register this model through the management API` }
  if (url.split('/').includes('..'))
    return { reason: `the path of ${shown} is outside the model store` }
  if (!path.isAbsolute(url) && store === '')
    return { reason: `the path of ${shown} is relative, and the file does not set model_store` }
  const file = path.isAbsolute(url) ? url : path.join(store, url)
  return { model: name === undefined ? file : `${name}=${file}` }
}

function fieldOf(value: unknown, name: string): unknown {
  return entriesOf(value).find(([key]) => key === name)?.[1]
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}
