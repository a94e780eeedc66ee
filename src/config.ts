/**
 * Every setting of the server: one schema with names, types, defaults and documentation. A setting is
 * a flag (`--batch-size 8`), an environment variable (`ONNXD_BATCH_SIZE=8`) and a key of the config
 * file (`batchSize: 8`); the flag wins over the environment, the environment over the file.
 */
import { availableParallelism } from 'node:os'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { ConfigOrigin, Settings } from './config-layers.ts'
import { ConfigError } from './errors.ts'
import { JOIN_BATCHES, MAX_PRIORITY_LEVELS, batchDelay } from './model-settings.ts'
import { problemWith, stringEnum } from './schema.ts'

export { environmentName, flagName } from './config-layers.ts'
export type { ConfigOrigin, Settings } from './config-layers.ts'

const MIB = 1024 * 1024

const text = (description: string, defaultValue: string) =>
  Type.String({ description, default: defaultValue })
const count = (description: string, defaultValue: number, minimum = 0, maximum = 2 ** 31 - 1) =>
  Type.Integer({ description, default: defaultValue, minimum, maximum })
const flag = (description: string, defaultValue: boolean) =>
  Type.Boolean({ description, default: defaultValue })
const list = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { description, default: [] })
const oneOf = <const T extends string>(
  description: string,
  values: readonly T[],
  defaultValue: T,
) => stringEnum(values, { description, default: defaultValue })

export const ConfigSchema = Type.Object(
  {
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
    stateDir: text(
      'Folder that remembers what was registered, for the next start; empty remembers nothing.',
      '',
    ),
    modelStore: text('Folder of models that can be registered by name.', ''),
    load: text(
      'Models of the store to load at start: `all`, `none`, or names separated by commas.',
      'all',
    ),
    workers: count(
      'Workers of each model, unless the model or the registration says otherwise.',
      1,
      0,
      256,
    ),
    threads: count(
      'Threads of one operator in a worker; 0 shares the cores between the workers of a model.',
      0,
      0,
      1024,
    ),
    batchSize: count('Requests a worker is handed at once, at most.', 1, 1, 65_536),
    maxBatchDelay: batchDelay(
      {
        description:
          'Milliseconds to wait for a batch to fill; 0 takes what is waiting, `auto` waits as long as it pays.',
        default: 0,
      },
      { maximum: 60_000 },
    ),
    joinBatches: oneOf(
      'Whether the requests of a batch share one run of the model: `auto` where the graph proves that it changes no result, `always`, or `never`.',
      JOIN_BATCHES,
      'auto',
    ),
    queueSize: count(
      'Requests that may wait for a worker, for each model version.',
      100,
      1,
      1_000_000,
    ),
    queueBytes: count('Bytes of the requests that may wait, for each model version.', 256 * MIB, 1),
    priorityLevels: count(
      'Levels of priority that requests of a model can have, 1 for the highest; with one level there is no priority.',
      1,
      1,
      MAX_PRIORITY_LEVELS,
    ),
    defaultPriorityLevel: count(
      'Level of requests that name none; 0 takes the middle one, of two the lower.',
      0,
      0,
      MAX_PRIORITY_LEVELS,
    ),
    overloadStatus: oneOf('HTTP status of requests that find a queue full.', ['503', '429'], '503'),
    responseTimeout: count(
      'Seconds a worker has for one answer; then it is killed and replaced.',
      60,
      1,
      86_400,
    ),
    queueTimeout: count('Seconds a request may wait for a worker.', 120, 1, 86_400),
    loadTimeout: count('Seconds a worker has to start and load its model.', 120, 1, 86_400),
    crashQuarantine: count(
      'Seconds for which a request body is rejected with 422 after it has crashed two workers; 0 disables.',
      300,
      0,
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
    workerHeapMib: count(
      'JavaScript heap of a worker, MiB; tensors and weights live outside it.',
      1024,
      32,
    ),
    workerMemoryMib: count(
      'Memory of a worker, MiB, for weights, tensors and heap together; 0 sets no limit.',
      0,
      0,
    ),
    recycleAfterRequests: count(
      'Batches after which a worker is replaced by a fresh one, which is ready first; 0 never.',
      0,
    ),
    recycleAfterSeconds: count('Age at which a worker is replaced likewise; 0 never.', 0),
    recycleAboveMib: count(
      'Resident memory, MiB, at which a worker is replaced likewise; 0 never.',
      0,
    ),
    maxBodyBytes: count('Largest request body.', 64 * MIB, 1),
    maxJsonBytes: count('Largest JSON request body.', 16 * MIB, 1),
    maxResponseBytes: count('Largest response body.', 64 * MIB, 1),
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
    memoryBudgetMib: count(
      'Bytes of all request bodies and responses that are held at a time, MiB, on both listeners; beyond it requests get 503. 0 takes a quarter of the memory of the control group or machine.',
      0,
      0,
    ),
    writeTimeout: count(
      'Seconds without progress after which a response that its client does not read is cut off.',
      30,
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
    graphOptimization: oneOf(
      'Graph optimisation level of onnxruntime.',
      ['disabled', 'basic', 'extended', 'all'],
      'all',
    ),
    providers: list(
      'Execution providers of onnxruntime in order of preference, for example `cuda,cpu`.',
    ),
    warmUp: flag('Run a network once on zeros before it is called ready.', true),
    gpus: count('Number of GPUs to share between workers; 0 means CPU.', 0, 0, 64),
    allowHandlers: flag(
      'Models may bring code of their own (JavaScript or Python handlers).',
      false,
    ),
    python: text(
      'Python interpreter, or folder of a virtual environment, that has `multi-model-server` or `torchserve` and runs Python handlers; empty runs none.',
      '',
    ),
    allowLocalPaths: flag(
      'Models may be registered by any path of this machine, not only from the store.',
      false,
    ),
    lenientParameters: flag(
      'Ignore unknown parameters of management requests, with a warning in the log, instead of refusing them with 400.',
      false,
    ),
    allowedOrigins: list(
      'Origins that models may be downloaded from, for example `https://models.example.com`.',
    ),
    allowPrivateAddresses: flag(
      'Hosts of allowed origins may have addresses of private networks.',
      false,
    ),
    maxModelBytes: count('Largest model that is uploaded or downloaded.', 2 ** 31 - 1, 1),
    downloadTimeout: count(
      'Seconds that a download or upload of a model may take.',
      600,
      1,
      86_400,
    ),
    workerUser: text(
      'User that workers run as, by name or as `uid:gid`; needs a server that runs as root. Empty keeps the user of the server.',
      '',
    ),
    egress: flag(
      'Workers may use the network. `--no-egress` gives each its own empty network namespace (Linux), or refuses to start where that cannot be had.',
      true,
    ),
    workerOpenFiles: count(
      'Files and sockets that a worker may have open; 0 for as many as the server.',
      1024,
      0,
      1_048_576,
    ),
    workerEnvironment: list(
      'Environment variables handed to workers besides the usual harmless ones.',
    ),
    checkMemory: flag(
      'Refuse a model, or more workers of it, with 507 when they would need more memory than is left: twice its files and 100 MiB for each worker.',
      false,
    ),
    telemetry: flag('Let onnxruntime report usage to its maker.', false),
    accessLog: flag('Write one log line for each request.', true),
    logLevel: oneOf(
      'Least level that is logged.',
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'info',
    ),
  },
  { additionalProperties: false },
)

/** Every setting, defaulted and checked. Times in the unit the setting's description names. */
export type Config = Readonly<Static<typeof ConfigSchema>>

/** Where each setting came from; those that are absent have their default. */
export type ConfigOrigins = Readonly<Partial<Record<keyof Config, ConfigOrigin>>>

/** Fills in the defaults of settings that are absent and freezes the result. */
export function completeConfig(settings: Settings = {}): Config {
  const config: unknown = Value.Default(ConfigSchema, { ...settings })
  if (!Value.Check(ConfigSchema, config)) {
    throw new ConfigError(
      `Settings are not valid: ${problemWith(ConfigSchema, config) ?? 'unknown problem'}.`,
    )
  }
  for (const value of Object.values(config)) Object.freeze(value)
  return Object.freeze(config)
}

/** Threads of one operator for a model with so many workers: the setting, or the cores shared between them. */
export function threadsPerWorker(config: Config, workers: number): number {
  return config.threads > 0
    ? config.threads
    : Math.max(1, Math.floor(availableParallelism() / Math.max(1, workers)))
}
