/** Management of versions and workers: scaling as in MMS, versions as in TorchServe. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { Config } from '../../config/config.ts'
import { ServerError, messageOf } from '../../errors.ts'
import type { VersionDescription } from '../../models/describe-version.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { WorkerLimits } from '../../models/registration.ts'
import { describeEverywhere } from '../other-processes.ts'
import type { App, RouteContext } from '../route-context.ts'
import { StatusSchema, errorResponses } from '../schemas.ts'
import { statusBody, takeParameters } from './parameters.ts'
import { DescribeQuery, NoQuery, ScaleQuery, UnregisterQuery } from './queries.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const VersionParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
  version: Type.String({ description: 'Version of the model.' }),
})

const Descriptions = Type.Unsafe<VersionDescription[]>({ type: 'array', items: { type: 'object' } })
const tags = ['management']

/** Adds the routes for one version, for all versions, and for the number of workers. */
export function versionRoutes(app: App, context: RouteContext): void {
  const { config, registry } = context
  const describeAll = (versions: readonly ModelVersion[]): Promise<VersionDescription[]> =>
    Promise.all(versions.map((version) => describeEverywhere(version, context)))

  app.get(
    '/models/:model/all',
    {
      schema: {
        operationId: 'describeAllVersions',
        summary: 'Describe every version of a model',
        tags,
        params: ModelParams,
        querystring: DescribeQuery,
        response: { 200: Descriptions, ...errorResponses },
      },
      preValidation: takeParameters(DescribeQuery, context),
    },
    async ({ params: { model } }, reply) => {
      await registry.whenPrepared(model)
      return reply.send(await describeAll(registry.versions(model)))
    },
  )

  app.get(
    '/models/:model/:version',
    {
      schema: {
        operationId: 'describeVersion',
        summary: 'Describe one version of a model',
        tags,
        params: VersionParams,
        querystring: DescribeQuery,
        response: { 200: Descriptions, ...errorResponses },
      },
      preValidation: takeParameters(DescribeQuery, context),
    },
    async ({ params: { model, version } }, reply) => {
      await registry.whenPrepared(model, version)
      return reply.send(await describeAll([registry.find(model, version)]))
    },
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
        preValidation: takeParameters(ScaleQuery, context),
      },
      async (request, reply) => {
        const { params, query, log } = request
        const limits = scaleLimits(query)
        const { model: name } = params
        const version = versionOf(params.version, query.model_version)
        const isQueued =
          !registry.has(name, version) && registry.loadOf(name, version) !== undefined
        const beginning = registry.scale(name, version, limits)
        if (query.synchronous !== true) {
          // While the model is being loaded it is not known whether the workers fit into the
          // memory.
          if (!isQueued) await beginning
          beginning
            .then(({ done }) => done)
            .catch((error: unknown) => {
              const stderr = error instanceof ServerError ? error.log : []
              log.error({ model: name, reason: messageOf(error), stderr }, 'scaling failed')
            })
          return reply.code(202).send(statusBody(request, 'Processing worker updates...'))
        }
        const { model, done } = await beginning
        await done
        const { readyWorkers, wantedWorkers } = model.status
        // An unloaded model has no workers until a request comes.
        if (readyWorkers >= Math.min(limits.min, wantedWorkers))
          return reply.send(statusBody(request, 'Workers scaled'))
        return reply.code(210).send(statusBody(request, 'Workers scaling in progress...'))
      },
    )
  }

  app.put(
    '/models/:model/:version/set-default',
    {
      schema: {
        operationId: 'setDefaultVersion',
        summary: 'Make one version of a model its default version',
        tags,
        params: VersionParams,
        querystring: NoQuery,
        response: { 200: StatusSchema, ...errorResponses },
      },
      preValidation: takeParameters(NoQuery, context),
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
        summary: 'Unregister one version of a model after its accepted requests have finished',
        tags,
        params: VersionParams,
        querystring: UnregisterQuery,
        response: { 200: StatusSchema, ...errorResponses },
      },
      preValidation: takeParameters(UnregisterQuery, context),
    },
    async (request, reply) => {
      const { model, version } = request.params
      await registry.unregisterVersion(model, version, drainMs(request.query, config))
      return reply.send(statusBody(request, `Model "${model}" unregistered`))
    },
  )
}

/** Milliseconds that accepted requests get to finish when their model is unregistered. */
export function drainMs({ timeout = -1 }: Static<typeof UnregisterQuery>, config: Config): number {
  return (timeout < 0 ? config.drainTimeout : timeout) * 1000
}

function versionOf(inPath: string | undefined, inQuery: string | undefined): string | undefined {
  if (inPath === undefined || inQuery === undefined || inPath === inQuery) return inPath ?? inQuery
  const text = `The path has version ${inPath}, but the parameter model_version is ${inQuery}.`
  throw new ServerError('BadRequestException', text)
}

function scaleLimits(query: Static<typeof ScaleQuery>): WorkerLimits {
  const min = query.min_worker ?? 1
  const max = query.max_worker ?? min
  if (max < min) {
    throw new ServerError('BadRequestException', 'max_worker cannot be less than min_worker.')
  }
  const timeout = query.timeout ?? -1
  return { min, max, timeoutMs: timeout < 0 ? undefined : timeout * 1000 }
}
