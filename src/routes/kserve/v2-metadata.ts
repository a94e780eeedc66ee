/**
 * Metadata, configuration and statistics of the Open Inference Protocol, for the server and its
 * models.
 */
import { Type } from '@sinclair/typebox'
import { asHandlerMetadata } from '../../models/model-metadata.ts'
import type { TensorMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'
import { modelConfig, platformOf } from '../../models/triton/model-config.ts'
import { modelStatistics } from '../../models/triton/model-statistics.ts'
import { readPackageVersion } from '../../package-files.ts'
import { mayUse } from '../http/access/caller.ts'
import type { App, RouteContext } from '../route-context.ts'
import { findModel } from './v2-models.ts'
import {
  ModelMetadataSchema,
  ModelParams,
  ServerMetadataSchema,
  StatisticsSchema,
  VersionParams,
  protocolErrors,
} from './v2-schemas.ts'

/** Supported extensions of the protocol, by Triton's names. */
export const EXTENSIONS = [
  'binary_tensor_data',
  'classification',
  'model_configuration',
  'model_repository',
  'model_repository(unload_dependents)',
  'parameters',
  'schedule_policy',
  'statistics',
]
const tags = ['models']

/** One input or output in the metadata of a model. */
export interface TensorAnswer {
  name: string
  datatype: string
  shape: number[]
}

/** The metadata of a model. */
export interface ModelMetadataAnswer {
  name: string
  versions: string[]
  platform: string
  inputs: TensorAnswer[]
  outputs: TensorAnswer[]
}

/** Adds `/v2`, and `/v2/models/{model}[/versions/{version}]` with `/config` and `/stats`. */
export async function metadataRoutes(app: App, context: RouteContext): Promise<void> {
  const { config, registry } = context
  const server = {
    name: config.serverName,
    version: await readPackageVersion(),
    extensions: EXTENSIONS,
  }
  app.get(
    '/v2',
    {
      schema: {
        operationId: 'serverMetadata',
        summary: 'Name, version and extensions of the server',
        tags,
        response: { 200: ServerMetadataSchema },
      },
    },
    async (_request, reply) => reply.send(server),
  )

  app.get(
    '/v2/models',
    {
      schema: {
        operationId: 'modelNames',
        summary: 'List the names of the models',
        tags,
        response: { 200: Type.Object({ models: Type.Array(Type.String()) }) },
      },
    },
    async (request, reply) =>
      reply.send({ models: registry.names.filter((name) => mayUse(request, name)) }),
  )

  app.get(
    '/v2/models/stats',
    {
      schema: {
        operationId: 'allStatistics',
        summary: 'Statistics of every version of every model',
        tags,
        response: { 200: StatisticsSchema },
      },
    },
    async (request, reply) => {
      const models = registry.all.filter(({ name }) => mayUse(request, name))
      return reply.send({ model_stats: models.map(modelStatistics) })
    },
  )
  modelRoutes(app, context)
  versionRoutes(app, context)
}

/** The routes without a version. */
function modelRoutes(app: App, { config, registry }: RouteContext): void {
  app.get(
    '/v2/models/:model',
    {
      schema: {
        operationId: 'modelMetadata',
        summary: 'Inputs, outputs and versions of a model',
        tags,
        params: ModelParams,
        response: { 200: ModelMetadataSchema, ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      const model = findModel(registry, params.model)
      await model.learnMetadata()
      const versions = servedVersions(registry, params.model)
      return reply.send(
        metadataOf(
          model,
          versions.map(({ version }) => version),
        ),
      )
    },
  )

  app.get(
    '/v2/models/:model/config',
    {
      schema: {
        operationId: 'modelConfig',
        summary: 'Configuration of a model in the format of Triton',
        tags,
        params: ModelParams,
        response: { 200: Type.Record(Type.String(), Type.Unknown()), ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      const model = findModel(registry, params.model)
      await model.learnMetadata()
      return reply.send(modelConfig(model, config.gpus))
    },
  )

  app.get(
    '/v2/models/:model/stats',
    {
      schema: {
        operationId: 'modelStatistics',
        summary: 'Statistics of every version of a model',
        tags,
        params: ModelParams,
        response: { 200: StatisticsSchema, ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      findModel(registry, params.model)
      return reply.send({
        model_stats: servedVersions(registry, params.model).map(modelStatistics),
      })
    },
  )
}

/** The same routes for one version. */
function versionRoutes(app: App, { config, registry }: RouteContext): void {
  app.get(
    '/v2/models/:model/versions/:version',
    {
      schema: {
        operationId: 'modelVersionMetadata',
        summary: 'Inputs and outputs of one version of a model',
        tags,
        params: VersionParams,
        response: { 200: ModelMetadataSchema, ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      const model = findModel(registry, params.model, params.version)
      await model.learnMetadata()
      return reply.send(metadataOf(model, [model.version]))
    },
  )

  app.get(
    '/v2/models/:model/versions/:version/config',
    {
      schema: {
        operationId: 'modelVersionConfig',
        summary: 'Configuration of one version of a model in the format of Triton',
        tags,
        params: VersionParams,
        response: { 200: Type.Record(Type.String(), Type.Unknown()), ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      const model = findModel(registry, params.model, params.version)
      await model.learnMetadata()
      return reply.send(modelConfig(model, config.gpus))
    },
  )

  app.get(
    '/v2/models/:model/versions/:version/stats',
    {
      schema: {
        operationId: 'modelVersionStatistics',
        summary: 'Statistics of one version of a model',
        tags,
        params: VersionParams,
        response: { 200: StatisticsSchema, ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      const model = findModel(registry, params.model, params.version)
      return reply.send({ model_stats: [modelStatistics(model)] })
    },
  )
}

/** The versions of a model that are loaded. Requests to a version that is being loaded fail. */
export function servedVersions(registry: Registry, name: string): readonly ModelVersion[] {
  return registry.versions(name).filter(({ version }) => registry.has(name, version))
}

/** The response to a request for the metadata of a model. */
export function metadataOf(model: ModelVersion, versions: readonly string[]): ModelMetadataAnswer {
  const { inputs = [], outputs = [] } = asHandlerMetadata(model.metadata) ?? {}
  return {
    name: model.name,
    versions: [...versions],
    platform: platformOf(model),
    inputs: inputs.map(tensorOf),
    outputs: outputs.map(tensorOf),
  }
}

/** Strict clients reject other members than these three. */
function tensorOf({ name, datatype, shape }: TensorMetadata): TensorAnswer {
  return { name, datatype, shape }
}
