/** The parameters of `POST /models`, and their conversion to a registration. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { JOIN_BATCHES, MAX_PRIORITY_LEVELS, batchDelay } from '../../model-folder/settings.ts'
import type { Registration } from '../../models/registration.ts'
import { stringEnum } from '../../schema.ts'
import { UPLOAD_FIELD } from './upload.ts'

/** Parameters in the query, the JSON body or the form fields. */
export const RegisterQuery = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        description:
          'Model to register: a file or folder in the model store, an absolute path if `allowLocalPaths` is set, or an http(s) URL of an allowed origin.',
      }),
    ),
    model_name: Type.Optional(
      Type.String({
        description: 'Name of the model. Default: the name in the model, or its file name.',
      }),
    ),
    model_version: Type.Optional(
      Type.String({ description: 'Version of the model. Default: the version in the model.' }),
    ),
    handler: Type.Optional(
      Type.String({
        description: '`onnx`, `image`, or a custom handler: `module.js:function`.',
      }),
    ),
    runtime: Type.Optional(
      Type.String({
        maxLength: 100,
        description:
          'Must match the model: `node` for ONNX models and JavaScript handlers, `python` (or `python2`, `python3`) for Python handlers.',
      }),
    ),
    preload_model: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Without effect: each worker loads the model itself.',
      }),
    ),
    sha256: Type.Optional(
      Type.String({
        pattern: '^[0-9A-Fa-f]{64}$',
        description: 'Expected SHA-256 hash of the uploaded or downloaded file.',
      }),
    ),
    batch_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
    max_batch_delay: Type.Optional(
      batchDelay(
        {
          description:
            'Milliseconds to wait for a batch to fill. `auto` waits only while measured run times show a gain.',
        },
        { maximum: 60_000 },
      ),
    ),
    join_batches: Type.Optional(
      stringEnum(JOIN_BATCHES, {
        description:
          'Whether requests of a batch are joined into one run of the model. `auto` joins if the graph proves that no result changes; `always` joins without a proof; `never` runs each request alone.',
      }),
    ),
    priority_levels: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Number of priority levels; level 1 is served first. 1 disables priorities.',
      }),
    ),
    default_priority_level: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Priority of requests that do not set one; 0 means the middle level.',
      }),
    ),
    initial_workers: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
    synchronous: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Send the response after the workers are ready.',
      }),
    ),
    response_timeout: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 86_400,
        description: 'Seconds a worker has to run one batch.',
      }),
    ),
    startup_timeout: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 86_400,
        description: 'Load timeout: seconds a worker has to start and load the model.',
      }),
    ),
    s3_sse_kms: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Without effect: onnxd does not sign downloads; register a pre-signed URL.',
      }),
    ),
  },
  { additionalProperties: false },
)

/** The body of `POST /models`, for the documents. */
export const RegisterBody = {
  content: {
    'application/json': {
      schema: Type.Composite([RegisterQuery], { $id: 'RegisterModelRequest' }),
    },
  },
}

/** The body of `POST /models/upload`, for the documents. */
export const UploadBody = {
  required: true,
  content: {
    'multipart/form-data': {
      schema: Type.Composite([
        Type.Object({
          [UPLOAD_FIELD]: Type.String({ format: 'binary', description: 'Model file to upload.' }),
        }),
        Type.Omit(RegisterQuery, ['url']),
      ]),
    },
  },
}

export type RegisterParameters = Static<typeof RegisterQuery>

/** Converts the parameters of a request to a registration. */
export function registrationOf(query: RegisterParameters): Registration {
  return {
    origin: 'request',
    options: {
      handler: query.handler,
      runtime: query.runtime,
      batchSize: query.batch_size,
      maxBatchDelayMs: query.max_batch_delay,
      joinBatches: query.join_batches,
      priorityLevels: query.priority_levels,
      defaultPriorityLevel: query.default_priority_level,
      workers: query.initial_workers,
      responseTimeoutMs: milliseconds(query.response_timeout),
      startupTimeoutMs: milliseconds(query.startup_timeout),
    },
  }
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}
