/**
 * Parameters of the management requests that MMS and TorchServe document, except those of a
 * registration.
 */
import { Type } from '@sinclair/typebox'

const timeout = (description: string) =>
  Type.Optional(Type.Integer({ minimum: -1, maximum: 86_400, description }))
const strict = { additionalProperties: false }

/** For requests without parameters. */
export const NoQuery = Type.Object({}, strict)

export const DescribeQuery = Type.Object(
  {
    customized: Type.Optional(
      Type.Boolean({
        description: 'Without effect: `metadata` always contains the description of the handler.',
      }),
    ),
  },
  strict,
)

export const UnregisterQuery = Type.Object(
  {
    synchronous: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Without effect: the response is always sent after the model was removed.',
      }),
    ),
    timeout: timeout(
      'Seconds that accepted requests have to finish. Default: -1, which means the setting `drainTimeout`.',
    ),
  },
  strict,
)

export const ScaleQuery = Type.Object(
  {
    model_version: Type.Optional(
      Type.String({ description: 'Version to scale, if the path contains none.' }),
    ),
    min_worker: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 256,
        description: 'Minimum number of workers. Default: 1.',
      }),
    ),
    max_worker: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 256,
        description: 'Maximum number of workers. Default: `min_worker`.',
      }),
    ),
    number_gpu: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 256,
        description: 'Without effect: use the setting `gpus`.',
      }),
    ),
    synchronous: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Send the response after the workers have started or stopped.',
      }),
    ),
    timeout: timeout(
      'Seconds that a worker has to finish its requests before it is stopped. -1 means the setting `queueTimeout`.',
    ),
  },
  strict,
)
