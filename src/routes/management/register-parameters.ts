/** The parameters of `POST /models`, and the registration that they stand for. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { JOIN_BATCHES, MAX_PRIORITY_LEVELS, batchDelay } from '../../model-folder/settings.ts'
import type { Registration } from '../../models/registration.ts'
import { stringEnum } from '../../schema.ts'
import { UPLOAD_FIELD } from './upload.ts'

/** What the query, the JSON of the body and the fields of a form say. */
export const RegisterQuery = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        description:
          'A file or folder in the model store, a path of this machine where the operator allows it, or an http(s) address of an allowed origin.',
      }),
    ),
    model_name: Type.Optional(
      Type.String({ description: 'Name to serve the model under; its own when absent.' }),
    ),
    model_version: Type.Optional(
      Type.String({ description: 'Version to register under; the model’s own when absent.' }),
    ),
    handler: Type.Optional(
      Type.String({
        description: '`onnx`, `image`, or `module.js:function` of the model’s own code.',
      }),
    ),
    runtime: Type.Optional(
      Type.String({
        maxLength: 100,
        description:
          'Must be that of the model: `node` for ONNX and JavaScript, `python` (or `python2`, `python3`) for Python handlers.',
      }),
    ),
    preload_model: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Without effect: every worker loads the model itself.',
      }),
    ),
    sha256: Type.Optional(
      Type.String({
        pattern: '^[0-9A-Fa-f]{64}$',
        description: 'What an uploaded or downloaded file must hash to.',
      }),
    ),
    batch_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
    max_batch_delay: Type.Optional(
      batchDelay(
        { description: 'Milliseconds; `auto` waits as long as it pays.' },
        { maximum: 60_000 },
      ),
    ),
    join_batches: Type.Optional(
      stringEnum(JOIN_BATCHES, {
        description:
          'Whether the requests of a batch share one run: `auto` where the graph proves that it changes no result, `always`, or `never`.',
      }),
    ),
    priority_levels: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Levels of priority that requests can have; 1 for none.',
      }),
    ),
    default_priority_level: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_PRIORITY_LEVELS,
        description: 'Level of requests that name none; 0 for the middle one.',
      }),
    ),
    initial_workers: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
    synchronous: Type.Optional(
      Type.Boolean({ default: true, description: 'Answer when the workers are ready.' }),
    ),
    response_timeout: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 86_400, description: 'Seconds for one answer.' }),
    ),
    startup_timeout: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 86_400,
        description: 'Seconds for a worker to start and load the model.',
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

/** That of `POST /models/upload`. */
export const UploadBody = {
  required: true,
  content: {
    'multipart/form-data': {
      schema: Type.Composite([
        Type.Object({
          [UPLOAD_FIELD]: Type.String({ format: 'binary', description: 'The file of the model.' }),
        }),
        Type.Omit(RegisterQuery, ['url']),
      ]),
    },
  },
}

export type RegisterParameters = Static<typeof RegisterQuery>

/** A registration by request. */
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
