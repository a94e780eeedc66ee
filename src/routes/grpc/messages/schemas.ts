/**
 * The responses of the services, with the field numbers of the protocols. Members have the names of
 * the same responses over REST. A test compares them with the `.proto` files.
 */
import { DATA_TYPES, INSTANCE_KINDS } from '../../../models/sources/config-pbtxt/model-config.ts'
import type { Field, Schema } from './encode.ts'

/** The names of `config.pbtxt` are in the order of their numbers; it has no invalid datatype. */
const DATA_TYPE = { values: numbered(['TYPE_INVALID', ...DATA_TYPES]) }
const KIND = { values: numbered(INSTANCE_KINDS) }
/** The states of `grpc.health.v1`. */
export const HEALTH_STATES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const

export const LIVE: Schema = { live: [1, 'bool'] }
export const READY: Schema = { ready: [1, 'bool'] }
export const HEALTH: Schema = { status: [1, { values: numbered(HEALTH_STATES) }] }

export const SERVER_METADATA: Schema = {
  name: [1, 'string'],
  version: [2, 'string'],
  extensions: [3, 'string', 'repeated'],
}

const TENSOR: Schema = {
  name: [1, 'string'],
  datatype: [2, 'string'],
  shape: [3, 'int64', 'repeated'],
}
export const MODEL_METADATA: Schema = {
  name: [1, 'string'],
  versions: [2, 'string', 'repeated'],
  platform: [3, 'string'],
  inputs: [4, { message: TENSOR }, 'repeated'],
  outputs: [5, { message: TENSOR }, 'repeated'],
}

const RESHAPE: Field = [5, { message: { shape: [1, 'int64', 'repeated'] } }]
const MODEL_CONFIG: Schema = {
  name: [1, 'string'],
  platform: [2, 'string'],
  version_policy: [
    3,
    {
      message: {
        latest: [1, { message: { num_versions: [1, 'uint32'] } }],
        all: [2, { message: {} }],
        specific: [3, { message: { versions: [1, 'int64', 'repeated'] } }],
      },
    },
  ],
  max_batch_size: [4, 'int32'],
  input: [
    5,
    {
      message: {
        name: [1, 'string'],
        data_type: [2, DATA_TYPE],
        dims: [4, 'int64', 'repeated'],
        reshape: RESHAPE,
      },
    },
    'repeated',
  ],
  output: [
    6,
    {
      message: {
        name: [1, 'string'],
        data_type: [2, DATA_TYPE],
        dims: [3, 'int64', 'repeated'],
        label_filename: [4, 'string'],
        reshape: RESHAPE,
      },
    },
    'repeated',
  ],
  instance_group: [
    7,
    {
      message: {
        name: [1, 'string'],
        count: [2, 'int32'],
        gpus: [3, 'int32', 'repeated'],
        kind: [4, KIND],
      },
    },
    'repeated',
  ],
  default_model_filename: [8, 'string'],
  dynamic_batching: [
    11,
    {
      message: {
        preferred_batch_size: [1, 'int32', 'repeated'],
        max_queue_delay_microseconds: [2, 'uint64'],
        priority_levels: [4, 'uint64'],
        default_priority_level: [5, 'uint64'],
      },
    },
  ],
  parameters: [14, { message: { string_value: [1, 'string'] } }, 'map'],
  backend: [17, 'string'],
  model_transaction_policy: [19, { message: { decoupled: [1, 'bool'] } }],
}
export const MODEL_CONFIG_RESPONSE: Schema = { config: [1, { message: MODEL_CONFIG }] }

const DURATION = { message: { count: [1, 'uint64'], ns: [2, 'uint64'] } } as const
const STATISTICS: Schema = {
  name: [1, 'string'],
  version: [2, 'string'],
  last_inference: [3, 'uint64'],
  inference_count: [4, 'uint64'],
  execution_count: [5, 'uint64'],
  inference_stats: [
    6,
    {
      message: {
        success: [1, DURATION],
        fail: [2, DURATION],
        queue: [3, DURATION],
        compute_input: [4, DURATION],
        compute_infer: [5, DURATION],
        compute_output: [6, DURATION],
        cache_hit: [7, DURATION],
        cache_miss: [8, DURATION],
      },
    },
  ],
}
export const STATISTICS_RESPONSE: Schema = {
  model_stats: [1, { message: STATISTICS }, 'repeated'],
}

export const REPOSITORY_INDEX: Schema = {
  models: [
    1,
    {
      message: {
        name: [1, 'string'],
        version: [2, 'string'],
        state: [3, 'string'],
        reason: [4, 'string'],
      },
    },
    'repeated',
  ],
}

const FILES: Schema = { file_descriptor_proto: [1, 'bytes', 'repeated'] }
/** Both versions of the reflection service have the same messages. */
export const REFLECTION: Schema = {
  valid_host: [1, 'string'],
  file_descriptor_response: [4, { message: FILES }],
  list_services_response: [
    6,
    { message: { service: [1, { message: { name: [1, 'string'] } }, 'repeated'] } },
  ],
  error_response: [7, { message: { error_code: [1, 'int32'], error_message: [2, 'string'] } }],
}

function numbered(names: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(names.map((name, number) => [name, number]))
}
