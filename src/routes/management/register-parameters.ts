/** The parameters of `POST /models`, and their conversion to a registration. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { REQUEST_PROPERTIES, requestedSettings } from '../../model-folder/version-settings.ts'
import type { Registration } from '../../models/registration.ts'
import { UPLOAD_FIELD } from './upload.ts'

const { handler, initial_workers, response_timeout, startup_timeout, load_on_demand, ...batching } =
  REQUEST_PROPERTIES

/**
 * Parameters in the query, the JSON body or the form fields. Generated clients pass them by
 * position, so a new one goes to the end.
 */
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
    handler,
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
    ...batching,
    initial_workers,
    synchronous: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Send the response after the workers are ready.',
      }),
    ),
    response_timeout,
    startup_timeout,
    s3_sse_kms: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Without effect: onnxd does not sign downloads; register a pre-signed URL.',
      }),
    ),
    load_on_demand,
    deep_check: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Check the model after it is loaded, for at most a minute, in a process of its own: graph optimization, batching, threads, memory. `GET /models/{model}` shows the result.',
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
    options: { ...requestedSettings(query), runtime: query.runtime },
  }
}
