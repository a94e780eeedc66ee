/** Settings of models and their workers: sources, execution, and permissions. */
import { Type } from '@sinclair/typebox'
import { JOIN_BATCHES, MAX_PRIORITY_LEVELS, batchDelay } from '../model-folder/version-settings.ts'
import { MIB, count, flag, list, oneOf, text } from './fields.ts'

const MAX_SPARES = 16

export const modelSettings = {
  stateDir: text(
    'Folder that stores models registered at runtime, so that the next start serves them again. Empty: nothing is stored.',
    '',
  ),
  modelStore: text(
    'Model store: the folder whose models are loaded at start and can be registered by name.',
    '',
  ),
  load: text(
    'Models of the model store to load at start: `all`, `none`, or names separated by commas. `on-demand` registers all models and loads each when its first request comes.',
    'all',
  ),
  modelMemoryMib: count(
    'Maximum memory for the models that load on demand, in MiB; above it, unused models are unloaded. 0 means half of the memory of the container or machine.',
    0,
    0,
  ),
  unloadAfterSeconds: count(
    'Unload a model that loads on demand after this many seconds without a request; 0 disables.',
    0,
  ),
  watch: flag(
    'Load models again when their files change. For development; the old workers serve until the new ones are ready.',
    false,
  ),
  workers: count(
    'Worker processes of each model, unless `model.json` or the registration sets another number.',
    1,
    0,
    256,
  ),
  spareWorkers: Type.Union(
    [Type.Integer({ minimum: 0, maximum: MAX_SPARES }), Type.Literal('auto')],
    {
      description:
        'Spare workers: processes that are started without a model, so that a load, a restart or a further worker of a model with a built-in ONNX handler does not wait for the start of a process. Each has about 75 MiB of resident memory, 26 MiB of it its own. `auto` keeps 1 from the first such model on, if 1 GiB of memory is available. 0 disables.',
      default: 'auto',
    },
  ),
  threads: count(
    'Threads that a worker uses within one operator (intra-op). 0 divides the CPU cores by the workers of the model.',
    0,
    0,
    1024,
  ),
  batchSize: count('Maximum number of requests in one batch; 1 disables batching.', 1, 1, 65_536),
  maxBatchDelay: batchDelay(
    {
      description:
        'Milliseconds to wait for a batch to fill. 0 sends the waiting requests immediately; `auto` waits only while measured run times show a gain.',
      default: 0,
    },
    { maximum: 60_000 },
  ),
  joinBatches: oneOf(
    'Whether requests of a batch are joined into one run of the model. `auto` joins if the graph proves that no result changes; `always` joins without a proof; `never` runs each request alone.',
    JOIN_BATCHES,
    'auto',
  ),
  queueSize: count(
    'Maximum number of requests that wait for a worker, for each model version; further requests fail with `overloadStatus`.',
    100,
    1,
    1_000_000,
  ),
  queueBytes: count(
    'Maximum total size of the requests that wait for a worker, in bytes, for each model version; further requests fail with `overloadStatus`.',
    256 * MIB,
    1,
  ),
  priorityLevels: count(
    'Number of priority levels; level 1 is served first. 1 disables priorities.',
    1,
    1,
    MAX_PRIORITY_LEVELS,
  ),
  defaultPriorityLevel: count(
    'Priority of requests that do not set one; 0 means the middle level.',
    0,
    0,
    MAX_PRIORITY_LEVELS,
  ),
  overloadStatus: oneOf(
    'HTTP status of a request that is rejected because the queue is full.',
    ['503', '429'],
    '503',
  ),
  responseTimeout: count(
    'Seconds a worker has to run one batch; then its requests fail with 504 and the worker is replaced.',
    60,
    1,
    86_400,
  ),
  queueTimeout: count(
    'Seconds a request may wait for a worker; then it fails with 503.',
    120,
    1,
    86_400,
  ),
  loadTimeout: count(
    'Load timeout: seconds a worker has to start and load its model; then the load fails with 504.',
    120,
    1,
    86_400,
  ),
  crashQuarantine: count(
    'Seconds for which a request body is rejected with 422 after it has crashed two workers; 0 disables.',
    300,
    0,
    86_400,
  ),
  workerHeapMib: count(
    'Maximum JavaScript heap of a worker, in MiB; a worker that exceeds it exits and is replaced. Tensors and weights do not count.',
    1024,
    32,
  ),
  workerMemoryMib: count(
    'Maximum memory of a worker for weights, tensors and heap together, in MiB (Linux only); a request that exceeds it fails with 507. 0 disables.',
    0,
    0,
  ),
  recycleAfterRequests: count(
    'Replace a worker after this many requests. The new worker is ready before the old one stops. 0 disables.',
    0,
  ),
  recycleAfterSeconds: count('Replace a worker after this many seconds; 0 disables.', 0),
  recycleAboveMib: count(
    'Replace a worker when its resident memory exceeds this many MiB; 0 disables.',
    0,
  ),
  graphOptimization: oneOf(
    'Graph optimization level of onnxruntime. A lower level loads faster and runs slower.',
    ['disabled', 'basic', 'extended', 'all'],
    'all',
  ),
  providers: list(
    'Execution providers of onnxruntime in order of preference, for example `cuda,cpu`. Empty: CPU, or CUDA when `gpus` is set.',
  ),
  weightCache: oneOf(
    'Whether the workers of a model share its weights in memory, through files in `cacheDir` (CPU only). `auto` does so for models of at least `weightCacheMinMib` whose results stay the same bit by bit.',
    ['auto', 'off'],
    'auto',
  ),
  // Measured with dense layers: 1 MB of weights saves 2 MB in each worker, 4 MB saves 7 MB and half
  // of the load time, 20 MB saves 24 MB. The first load takes about a second longer.
  weightCacheMinMib: count(
    'Minimum size of a model whose weights are shared, in MiB. Smaller models gain nothing.',
    4,
    0,
    1_048_576,
  ),
  cacheDir: text(
    'Folder for files that can be built again, such as shared weights. Empty: `cache` in `stateDir`, or else `onnxd` in the cache folder of the user (`XDG_CACHE_HOME` or `~/.cache`).',
    '',
  ),
  cacheSize: count(
    'Maximum size of `cacheDir`, in MiB; the files that were used least recently are removed.',
    10_240,
    1,
    1_073_741_824,
  ),
  warmUp: flag(
    'Run each model once on zeros while it loads, so that the first request is not slower than the others.',
    true,
  ),
  gpus: count(
    'Number of GPUs to assign to the workers in turn; 0 runs models on the CPU.',
    0,
    0,
    64,
  ),
  allowHandlers: flag(
    'Allow custom handlers (JavaScript or Python). Their code runs with the rights of the worker process.',
    false,
  ),
  python: text(
    'Python interpreter, or virtual environment folder, with `multi-model-server` or `torchserve` installed; it runs Python handlers. Empty: models with Python handlers fail to load.',
    '',
  ),
  metricsConfig: text(
    'File with the metrics of TorchServe handlers (`metrics.yaml`); their worker reads its `model_metrics`. A `metrics.yaml` in the folder of a model wins. Empty: the file of the package `torchserve`.',
    '',
  ),
  allowLocalPaths: flag(
    'Allow registration of any path on this machine, not only from the model store.',
    false,
  ),
  allowedOrigins: list(
    'Origins (scheme, host and port) that models may be downloaded from, for example `https://models.example.com`. Other URLs fail with 403.',
  ),
  allowPrivateAddresses: flag(
    'Allow downloads from allowed origins whose hosts have private IP addresses. When false, they fail with 403.',
    false,
  ),
  maxModelBytes: count(
    'Maximum size of an uploaded or downloaded model file, in bytes; a larger one fails with 413.',
    2 ** 31 - 1,
    1,
  ),
  downloadTimeout: count(
    'Seconds that the download or upload of a model may take; then a download fails with 504 and an upload with 408.',
    600,
    1,
    86_400,
  ),
  workerUser: text(
    'User that workers run as, by name or as `uid:gid`; the server must run as root. Empty: the user of the server.',
    '',
  ),
  egress: flag(
    'Allow workers to use the network. `--no-egress` gives each worker an empty network namespace (Linux only); the server does not start if the system forbids that.',
    true,
  ),
  workerOpenFiles: count(
    'Maximum number of open files and sockets of a worker; 0 means the limit of the server.',
    1024,
    0,
    1_048_576,
  ),
  workerEnvironment: list(
    'Names of further environment variables to pass to workers. By default workers get only a few, such as `PATH` and `CUDA_…`.',
  ),
  checkMemory: flag(
    'Reject a registration or scaling with 507 if the workers would not fit in the free memory. Estimate for each worker: the measured memory of a worker of this version, else twice the size of the model files plus 100 MiB.',
    false,
  ),
  telemetry: flag('Allow onnxruntime to send usage telemetry to Microsoft.', false),
}
