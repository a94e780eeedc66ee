/** Management of versions and workers: the original's scaling, TorchServe's versions. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError, messageOf } from '../errors.ts'
import { describeVersion } from '../models/describe-version.ts'
import type { VersionDescription } from '../models/describe-version.ts'
import type { ModelVersion } from '../models/model-version.ts'
import type { App, RouteContext } from './route-context.ts'
import { StatusSchema, errorResponses } from './schemas.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const VersionParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
  version: Type.String({ description: 'Version of the model.' }),
})

const ScaleQuery = Type.Object({
  min_worker: Type.Optional(Type.Integer({ minimum: 0, maximum: 256, description: 'Default 1.' })),
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
  timeout: Type.Optional(
    Type.Integer({
      minimum: -1,
      maximum: 86_400,
      description:
        'Seconds that a worker gets to finish its request before it is stopped; -1: as long as a request may wait for a worker.',
    }),
  ),
})

const Descriptions = Type.Unsafe<VersionDescription[]>({ type: 'array', items: { type: 'object' } })
const tags = ['management']

/** Adds the routes for one version, for all versions, and for the number of workers. */
export function versionRoutes(app: App, context: RouteContext): void {
  const { config, registry } = context
  const describeAll = (versions: readonly ModelVersion[]): Promise<VersionDescription[]> =>
    Promise.all(versions.map((version) => describeVersion(version, config.gpus)))

  app.get(
    '/models/:model/all',
    {
      schema: {
        operationId: 'describeAllVersions',
        summary: 'Describe every version of a model',
        tags,
        params: ModelParams,
        response: { 200: Descriptions, ...errorResponses },
      },
    },
    async ({ params }, reply) => reply.send(await describeAll(registry.versions(params.model))),
  )

  app.get(
    '/models/:model/:version',
    {
      schema: {
        operationId: 'describeVersion',
        summary: 'Describe one version of a model',
        tags,
        params: VersionParams,
        response: { 200: Descriptions, ...errorResponses },
      },
    },
    async ({ params }, reply) =>
      reply.send(await describeAll([registry.get(params.model, params.version)])),
  )

  for (const [url, operationId, of] of [
    ['/models/:model', 'scaleModel', 'the default version of a model'],
    ['/models/:model/:version', 'scaleVersion', 'one version of a model'],
  ] as const) {
    app.put<{
      Params: { model: string; version?: string }
      Querystring: Static<typeof ScaleQuery>
    }>(
      url,
      {
        schema: {
          operationId,
          summary: `Change the number of workers of ${of}`,
          tags,
          querystring: ScaleQuery,
          response: { 200: StatusSchema, 202: StatusSchema, 210: StatusSchema, ...errorResponses },
        },
      },
      async ({ params, query, log }, reply) => {
        const { min, max, timeoutMs } = scaleLimits(query)
        const model = registry.get(params.model, params.version)
        const { done } = await model.scale(min, max, timeoutMs)
        const scaling = done.then(() => registry.onChange())
        if (query.synchronous !== true) {
          scaling.catch((error: unknown) => {
            const stderr = error instanceof ServerError ? error.log : []
            log.error({ model: model.name, reason: messageOf(error), stderr }, 'scaling failed')
          })
          return reply.code(202).send({ status: 'Processing worker updates...' })
        }
        await scaling
        if (model.pool.readyWorkers >= min) return reply.send({ status: 'Workers scaled' })
        return reply.code(210).send({ status: 'Workers scaling in progress...' })
      },
    )
  }

  app.put(
    '/models/:model/:version/set-default',
    {
      schema: {
        operationId: 'setDefaultVersion',
        summary: 'Send requests that name no version to this one',
        tags,
        params: VersionParams,
        response: { 200: StatusSchema, ...errorResponses },
      },
    },
    async ({ params: { model, version } }, reply) => {
      await registry.setDefault(model, version)
      return reply.send({
        status: `Default version successfully updated for model "${model}" to "${version}"`,
      })
    },
  )

  app.delete(
    '/models/:model/:version',
    {
      schema: {
        operationId: 'unregisterVersion',
        summary: 'Unregister one version once its accepted requests are answered',
        tags,
        params: VersionParams,
        response: { 200: StatusSchema, ...errorResponses },
      },
    },
    async ({ params: { model, version } }, reply) => {
      await registry.unregisterVersion(model, version, config.drainTimeout * 1000)
      return reply.send({ status: `Model "${model}" unregistered` })
    },
  )
}

function scaleLimits(query: Static<typeof ScaleQuery>): {
  min: number
  max: number
  timeoutMs: number | undefined
} {
  const min = query.min_worker ?? 1
  const max = query.max_worker ?? min
  if (max < min) {
    throw new ServerError('BadRequestException', 'max_worker cannot be less than min_worker.')
  }
  const timeout = query.timeout ?? -1
  return { min, max, timeoutMs: timeout < 0 ? undefined : timeout * 1000 }
}
