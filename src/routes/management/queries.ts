/**
 * Parameters of the management requests that MMS and TorchServe document, but for those of a
 * registration.
 */
import { Type } from '@sinclair/typebox'

const timeout = (description: string) =>
  Type.Optional(Type.Integer({ minimum: -1, maximum: 86_400, description }))
const strict = { additionalProperties: false }

/** For requests without any. */
export const NoQuery = Type.Object({}, strict)

export const DescribeQuery = Type.Object(
  {
    customized: Type.Optional(
      Type.Boolean({
        description: 'What the handler says of itself is in `metadata`, with this or without.',
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
        description: 'Without effect: the response always comes when the model is gone.',
      }),
    ),
    timeout: timeout(
      'Seconds that accepted requests get to finish; -1, the default, for the setting `drainTimeout`.',
    ),
  },
  strict,
)

export const ScaleQuery = Type.Object(
  {
    model_version: Type.Optional(
      Type.String({ description: 'Version to scale, where the path names none.' }),
    ),
    min_worker: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 256, description: 'Default 1.' }),
    ),
    max_worker: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 256, description: 'Default: as many as `min_worker`.' }),
    ),
    number_gpu: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 256,
        description:
          'Without effect: the setting `gpus` says between how many GPUs workers are shared.',
      }),
    ),
    synchronous: Type.Optional(
      Type.Boolean({ default: false, description: 'Answer when the workers are there, or gone.' }),
    ),
    timeout: timeout(
      'Seconds that a worker gets to finish its request before it is stopped; -1: as long as a request may wait for a worker.',
    ),
  },
  strict,
)
