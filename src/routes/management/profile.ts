/** `POST /models/{model}/profile`: the operators of a model by time. */
import { Type } from '@sinclair/typebox'
import type { Profile } from '../../models/profiling/profiler.ts'
import { whenClientLeaves } from '../http/open-requests.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'
import { takeParameters } from './parameters.ts'

const DEFAULT_REQUESTS = 200
const DEFAULT_SECONDS = 10

const ProfileQuery = Type.Object(
  {
    requests: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        description: `Runs to measure. Default: ${DEFAULT_REQUESTS}.`,
      }),
    ),
    seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 600,
        description: `Time to wait for live requests; then the ones that came are run again. Default: ${DEFAULT_SECONDS}.`,
      }),
    ),
  },
  { additionalProperties: false },
)

const Answer = Type.Unsafe<Profile & { modelName: string; modelVersion: string }>({
  type: 'object',
  additionalProperties: true,
})

/** Adds the route for the default version and for a named one. */
export function profileRoutes(app: App, context: RouteContext): void {
  const { registry, stopping } = context
  for (const [url, operationId, of] of [
    ['/models/:model/profile', 'profileModel', 'the default version of a model'],
    ['/models/:model/:version/profile', 'profileVersion', 'one version of a model'],
  ] as const) {
    app.post<{ Params: { model: string; version?: string } }>(
      url,
      {
        schema: {
          operationId,
          summary: `Measure the operators of ${of} with copies of live requests`,
          tags: ['management'],
          querystring: ProfileQuery,
          response: { 200: Answer, ...errorResponses },
        },
        preValidation: takeParameters(ProfileQuery, context),
      },
      async (request, reply) => {
        const { requests = DEFAULT_REQUESTS, seconds = DEFAULT_SECONDS } = request.query as {
          requests?: number
          seconds?: number
        }
        const left = new AbortController()
        whenClientLeaves(request, reply, () => left.abort())
        const version = registry.find(request.params.model, request.params.version)
        const signal = AbortSignal.any([left.signal, stopping])
        const { profiler } = version.measurements
        const profile = await profiler.profile({ requests, seconds }, version.status, signal)
        return reply.send({ modelName: version.name, modelVersion: version.version, ...profile })
      },
    )
  }
}
