/** Settings of models and their workers: where they come from, how they run, what they may do. */
import { MIB, count, flag, list, oneOf, text } from './config-fields.ts'
import { JOIN_BATCHES, MAX_PRIORITY_LEVELS, batchDelay } from './model-settings.ts'

export const modelSettings = {
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
  allowHandlers: flag('Models may bring code of their own (JavaScript or Python handlers).', false),
  python: text(
    'Python interpreter, or folder of a virtual environment, that has `multi-model-server` or `torchserve` and runs Python handlers; empty runs none.',
    '',
  ),
  allowLocalPaths: flag(
    'Models may be registered by any path of this machine, not only from the store.',
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
  downloadTimeout: count('Seconds that a download or upload of a model may take.', 600, 1, 86_400),
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
}
