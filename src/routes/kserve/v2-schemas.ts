/** Request and response bodies of the Open Inference Protocol, version 2. */
import { Type } from '@sinclair/typebox'
import { DATATYPES } from '../../contract/datatypes.ts'
import { stringEnum } from '../../schema.ts'

/** The error body has only this member, because some clients reject others. */
export const ProtocolErrorSchema = Type.Object(
  { error: Type.String() },
  { $id: 'ProtocolError', description: 'Error message.' },
)

/** Error responses of every route of the protocol. */
export const protocolErrors = { '4xx': ProtocolErrorSchema, '5xx': ProtocolErrorSchema }

export const ModelParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
})
export const VersionParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
  version: Type.String({ description: 'Version of the model.' }),
})

/** Whether a model is ready. */
export const ModelReady = Type.Object({
  name: Type.String(),
  ready: Type.Boolean(),
  reason: Type.Optional(
    Type.String({
      description:
        'Why it is not: the first step of a pipeline that cannot serve, or another HTTP process.',
    }),
  ),
})

const Datatype = stringEnum(DATATYPES)
const Shape = Type.Array(Type.Integer({ minimum: 0 }))
const Parameters = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Number(), Type.Boolean()]),
)

const RequestParameters = Type.Object(
  {
    priority: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Priority of the request, like the header `Onnxd-Priority`.',
      }),
    ),
    timeout: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Deadline in microseconds, like the header `Onnxd-Timeout-Ms`.',
      }),
    ),
  },
  { additionalProperties: Type.Union([Type.String(), Type.Number(), Type.Boolean()]) },
)

export const ServerMetadataSchema = Type.Object(
  { name: Type.String(), version: Type.String(), extensions: Type.Array(Type.String()) },
  { $id: 'MetadataServerResponse' },
)

const TensorMetadataSchema = Type.Object({
  name: Type.String(),
  datatype: Type.String(),
  shape: Type.Array(Type.Integer({ minimum: -1 }), {
    description: 'Sizes of the dimensions; -1 for a dimension of any size.',
  }),
})

export const ModelMetadataSchema = Type.Object(
  {
    name: Type.String(),
    versions: Type.Array(Type.String()),
    platform: Type.String(),
    inputs: Type.Array(TensorMetadataSchema),
    outputs: Type.Array(TensorMetadataSchema),
  },
  { $id: 'MetadataModelResponse' },
)

/** For the documents only: the worker checks the body. */
export const InferRequestSchema = Type.Object(
  {
    id: Type.Optional(Type.String({ description: 'Id of the request; the response repeats it.' })),
    parameters: Type.Optional(RequestParameters),
    inputs: Type.Array(
      Type.Object({
        name: Type.String(),
        shape: Shape,
        datatype: Datatype,
        parameters: Type.Optional(Parameters),
        data: Type.Optional(
          Type.Array(Type.Unknown(), {
            description:
              'Elements in row-major order, as a flat or nested list; absent for binary data.',
          }),
        ),
      }),
    ),
    outputs: Type.Optional(
      Type.Array(Type.Object({ name: Type.String(), parameters: Type.Optional(Parameters) }), {
        description: 'Outputs to compute. Default: all.',
      }),
    ),
  },
  { $id: 'InferenceRequest' },
)

/** For the documents only: the response of the worker is relayed unchanged. */
export const InferResponseSchema = Type.Object(
  {
    id: Type.Optional(Type.String()),
    model_name: Type.String(),
    model_version: Type.String(),
    outputs: Type.Array(
      Type.Object({
        name: Type.String(),
        shape: Shape,
        datatype: Datatype,
        parameters: Type.Optional(Parameters),
        data: Type.Optional(
          Type.Array(Type.Unknown(), { description: 'Elements as a flat list.' }),
        ),
      }),
    ),
  },
  { $id: 'InferenceResponse' },
)

const Duration = Type.Object({
  count: Type.Integer({ minimum: 0 }),
  ns: Type.Integer({ minimum: 0, description: 'Total time in nanoseconds.' }),
})

export const StatisticsSchema = Type.Object(
  {
    model_stats: Type.Array(
      Type.Object({
        name: Type.String(),
        version: Type.String(),
        last_inference: Type.Integer({
          minimum: 0,
          description: 'Time of the last request, in milliseconds since 1970.',
        }),
        inference_count: Type.Integer({
          minimum: 0,
          description:
            'Number of inferences: the sum of the batch dimensions of successful requests.',
        }),
        execution_count: Type.Integer({
          minimum: 0,
          description: 'Number of batches that workers ran.',
        }),
        inference_stats: Type.Object({
          success: Duration,
          fail: Duration,
          queue: Duration,
          compute_input: Duration,
          compute_infer: Duration,
          compute_output: Duration,
          cache_hit: Duration,
          cache_miss: Duration,
        }),
        response_stats: Type.Object({}),
        batch_stats: Type.Array(Type.Unknown()),
        memory_usage: Type.Array(Type.Unknown()),
      }),
    ),
  },
  { $id: 'StatisticsResponse' },
)

export const RepositoryIndexSchema = Type.Array(
  Type.Object({
    name: Type.String(),
    version: Type.Optional(Type.String()),
    state: Type.Optional(stringEnum(['READY', 'UNAVAILABLE', 'LOADING', 'UNLOADED', 'UNLOADING'])),
    reason: Type.Optional(Type.String()),
  }),
  { $id: 'RepositoryIndexResponse' },
)
