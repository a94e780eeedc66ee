/**
 * Parses `config.pbtxt`, the configuration file of Triton's models. It reads only the fields that
 * onnxd uses or shows, and skips others. Names are those of Triton's `ModelConfig`, because
 * `/v2/models/{model}/config` shows them.
 */
import { ServerError } from '../../../errors.ts'
import type { PipelineSettings } from '../../../model-folder/pipeline-settings.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import {
  MAX_BATCH_SIZE,
  MAX_PRIORITY_LEVELS,
  MAX_WORKERS,
} from '../../../model-folder/version-settings.ts'
import { readEnsemble } from './ensemble.ts'
import { joinBatchesIn } from './join-batches.ts'
import { Fields } from './protobuf-fields.ts'
import { TextSource, parseTextFormat } from './protobuf-text.ts'
import type { TextMessage } from './protobuf-text.ts'

/** Name of the file with a {@link ModelConfig}. */
export const MODEL_CONFIG_FILE = 'config.pbtxt'

export const DATA_TYPES = [
  'TYPE_BOOL',
  'TYPE_UINT8',
  'TYPE_UINT16',
  'TYPE_UINT32',
  'TYPE_UINT64',
  'TYPE_INT8',
  'TYPE_INT16',
  'TYPE_INT32',
  'TYPE_INT64',
  'TYPE_FP16',
  'TYPE_FP32',
  'TYPE_FP64',
  'TYPE_STRING',
  'TYPE_BF16',
] as const
const FORMATS = ['FORMAT_NONE', 'FORMAT_NHWC', 'FORMAT_NCHW'] as const
export const INSTANCE_KINDS = ['KIND_AUTO', 'KIND_GPU', 'KIND_CPU', 'KIND_MODEL'] as const

/**
 * An input or output. If `max_batch_size` is above 0, `dims` leave out the batch dimension. -1
 * means any length.
 */
export interface TensorConfig {
  readonly name: string | undefined
  readonly data_type: (typeof DATA_TYPES)[number] | undefined
  readonly dims: readonly number[]
  /** The model's shape, if it differs from the `dims` that clients see. */
  readonly reshape?: readonly number[]
  readonly format: (typeof FORMATS)[number]
  readonly label_filename: string | undefined
  readonly optional: boolean
}

/** Instances of a model: `count` on the CPU, or on each of `gpus`. */
export interface InstanceGroup {
  readonly name: string | undefined
  readonly kind: (typeof INSTANCE_KINDS)[number]
  readonly count: number | undefined
  readonly gpus: readonly number[]
}

/** The numbered versions to serve. */
export type VersionPolicy =
  | { readonly latest: { readonly num_versions: number } }
  | { readonly all: Readonly<Record<string, never>> }
  | { readonly specific: { readonly versions: readonly number[] } }

/** Result of {@link parseModelConfig}; `undefined` for a field that the text does not have. */
export interface ModelConfig {
  readonly name: string | undefined
  readonly platform: string | undefined
  readonly backend: string | undefined
  readonly max_batch_size: number | undefined
  readonly default_model_filename: string | undefined
  readonly version_policy: VersionPolicy | undefined
  readonly input: readonly TensorConfig[]
  readonly output: readonly TensorConfig[]
  readonly instance_group: readonly InstanceGroup[]
  readonly dynamic_batching:
    | {
        readonly preferred_batch_size: readonly number[]
        readonly max_queue_delay_microseconds: number
        readonly priority_levels: number
        readonly default_priority_level: number
      }
    | undefined
  readonly parameters: ReadonlyMap<string, string>
  /** The steps of an ensemble. */
  readonly ensemble: PipelineSettings | undefined
  /** All fields of the text. */
  readonly message: TextMessage
}

/**
 * Parses a `config.pbtxt`.
 * @throws ServerError `InvalidModelException` that names line and column.
 */
export function parseModelConfig(text: string): ModelConfig {
  const source = new TextSource(MODEL_CONFIG_FILE, text)
  const message = parseTextFormat(source)
  const root = new Fields(source, message)
  const batching = root.message('dynamic_batching')
  return {
    message,
    ensemble: readEnsemble(root),
    name: root.string('name'),
    platform: root.string('platform'),
    backend: root.string('backend'),
    max_batch_size: root.integer('max_batch_size', 0),
    default_model_filename: root.string('default_model_filename'),
    version_policy: readVersionPolicy(root.message('version_policy')),
    input: root.messages('input').map(readTensor),
    output: root.messages('output').map(readTensor),
    instance_group: root.messages('instance_group').map(readInstanceGroup),
    dynamic_batching: batching && {
      preferred_batch_size: batching.integers('preferred_batch_size', 1),
      max_queue_delay_microseconds:
        batching.integer('max_queue_delay_microseconds', 0, 2 ** 53 - 1) ?? 0,
      priority_levels: batching.integer('priority_levels', 0, MAX_PRIORITY_LEVELS) ?? 0,
      default_priority_level:
        batching.integer('default_priority_level', 0, MAX_PRIORITY_LEVELS) ?? 0,
    },
    parameters: new Map(
      root
        .messages('parameters')
        .map((entry) => [
          entry.string('key') ?? '',
          entry.message('value')?.string('string_value') ?? '',
        ]),
    ),
  }
}

/**
 * Returns the settings that a `config.pbtxt` sets:
 * - `max_batch_size` limits the batch dimension of one request, and sets the batch size of a model
 *   that is no ensemble (0 means no batching, which is 1).
 * - The sum of all instances sets the workers.
 * - The queue delay sets the batch delay, in milliseconds.
 * - The first label file sets the labels.
 * - Priority levels have Triton's numbers; 0 means one level.
 */
export function settingsOf(config: ModelConfig): ModelSettings {
  const counted = config.instance_group.some(({ count }) => count !== undefined)
  const workers = instancesOf(config)
  const batching = config.dynamic_batching
  const delay = batching?.max_queue_delay_microseconds
  const labels = config.output.find(({ label_filename: name }) => name)?.label_filename
  return {
    ...(config.ensemble === undefined
      ? labels !== undefined && { labels }
      : { pipeline: config.ensemble }),
    ...(config.max_batch_size !== undefined && {
      maxBatchSize: config.max_batch_size,
      ...(config.ensemble === undefined && {
        batchSize: Math.min(Math.max(1, config.max_batch_size), MAX_BATCH_SIZE),
      }),
    }),
    ...(counted && { workers: Math.min(workers, MAX_WORKERS) }),
    ...(delay !== undefined && { maxBatchDelay: delay / 1000 }),
    ...joinBatchesIn(config),
    ...(batching !== undefined &&
      batching.priority_levels > 0 && {
        priorityLevels: batching.priority_levels,
        defaultPriorityLevel: batching.default_priority_level,
      }),
  }
}

/** Returns the keys that {@link settingsOf} changed, with the reason. */
export function changesOf(config: ModelConfig): Record<string, string> {
  const { max_batch_size: rows = 0, instance_group: groups } = config
  return {
    ...(rows > MAX_BATCH_SIZE && { max_batch_size: `batchSize is at most ${MAX_BATCH_SIZE}` }),
    ...(instancesOf(config) > MAX_WORKERS && {
      'instance_group.count': `the maximum of workers is ${MAX_WORKERS}`,
    }),
    ...(groups.some(({ gpus }) => gpus.length > 0) && {
      'instance_group.gpus': 'only the number of GPUs counts; the setting gpus selects the GPUs',
    }),
  }
}

/**
 * Rejects a model that needs another backend of Triton.
 * @throws ServerError `InvalidModelException` that names it.
 */
export function checkBackend({ platform = '', backend = '', ensemble }: ModelConfig): void {
  if (ensemble !== undefined) return
  const isForeign =
    !['', 'onnxruntime'].includes(backend) || !['', 'onnxruntime_onnx'].includes(platform)
  if (!isForeign) return
  const named = backend === '' || backend === 'onnxruntime' ? platform : backend
  throw invalid(
    `${MODEL_CONFIG_FILE} requires the Triton backend ${JSON.stringify(named.slice(0, 100))}, but onnxd runs only ONNX models. Export the model to ONNX and set backend: "onnxruntime".`,
  )
}

function instancesOf({ instance_group: groups }: ModelConfig): number {
  return groups.reduce((sum, { count = 1, gpus }) => sum + count * Math.max(1, gpus.length), 0)
}

function readTensor(tensor: Fields): TensorConfig {
  const reshape = tensor.message('reshape')
  return {
    name: tensor.string('name'),
    data_type: tensor.word('data_type', DATA_TYPES),
    dims: tensor.integers('dims', -1, 2 ** 53 - 1),
    ...(reshape !== undefined && { reshape: reshape.integers('shape', -1, 2 ** 53 - 1) }),
    format: tensor.word('format', FORMATS) ?? 'FORMAT_NONE',
    label_filename: tensor.string('label_filename'),
    optional: tensor.boolean('optional') ?? false,
  }
}

function readInstanceGroup(group: Fields): InstanceGroup {
  return {
    name: group.string('name'),
    kind: group.word('kind', INSTANCE_KINDS) ?? 'KIND_AUTO',
    count: group.integer('count', 0) || undefined,
    gpus: group.integers('gpus', 0),
  }
}

function readVersionPolicy(policy: Fields | undefined): VersionPolicy | undefined {
  const latest = policy?.message('latest')
  if (latest !== undefined)
    return { latest: { num_versions: latest.integer('num_versions', 1) ?? 1 } }
  const specific = policy?.message('specific')
  if (specific !== undefined)
    return { specific: { versions: specific.integers('versions', 0, 2 ** 53 - 1) } }
  return policy?.message('all') && { all: {} }
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
