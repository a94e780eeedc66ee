/**
 * Health routes: whether the process runs, whether the server can serve, whether a model is ready.
 */
import { Type } from '@sinclair/typebox'
import { isReadyElsewhere } from '../other-processes.ts'
import { healthOf } from '../process-health.ts'
import type { App, RouteContext } from '../route-context.ts'
import { readinessOf } from './v2-models.ts'
import type { Readiness } from './v2-models.ts'
import { ModelParams, ModelReady, VersionParams, protocolErrors } from './v2-schemas.ts'

const tags = ['health']
const Live = Type.Object({ live: Type.Boolean() })
const Ready = Type.Object({ ready: Type.Boolean() })

/**
 * Whether this HTTP process accepts requests, and every model has a worker in it. A pipeline
 * without one of its steps does not count: as after a failed load, the other models can serve.
 */
export function isProcessReady({ isAccepting, registry }: RouteContext): boolean {
  return isAccepting() && healthOf(registry).isReady
}

/**
 * Whether the start is complete, the server does not stop, and every model has a worker in each
 * HTTP process. A client does not know which process will take its request.
 */
export async function isServerReady(context: RouteContext): Promise<boolean> {
  return isProcessReady(context) && isReadyElsewhere(context)
}

/**
 * Whether a version can serve requests in each HTTP process, and why not.
 * @throws ServerError as `readinessOf`.
 */
export async function modelReadiness(
  context: RouteContext,
  name: string,
  version?: string,
): Promise<Readiness> {
  const own = readinessOf(context, name, version)
  if (!own.ready || (await isReadyElsewhere(context, { name, version }))) return own
  return { name, ready: false, reason: 'Another HTTP process cannot serve the model now.' }
}

/**
 * Adds `/v2/health/live`, `/v2/health/ready` and `/v2/models/{model}/ready` of the Open Inference
 * Protocol.
 */
export function healthRoutes(app: App, context: RouteContext): void {
  app.get(
    '/v2/health/live',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'serverLive',
        summary: 'Liveness: the server process responds',
        tags,
        response: { 200: Live },
      },
    },
    async (_request, reply) => reply.send({ live: true }),
  )

  app.get(
    '/v2/health/ready',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'serverReady',
        summary: 'Readiness: the start is complete and every model has a worker',
        tags,
        response: { 200: Ready, 503: Ready },
      },
    },
    async (_request, reply) => {
      const ready = await isServerReady(context)
      return reply.code(ready ? 200 : 503).send({ ready })
    },
  )

  const modelResponses = { 200: ModelReady, 503: ModelReady, ...protocolErrors }
  app.get(
    '/v2/models/:model/ready',
    {
      schema: {
        operationId: 'modelReady',
        summary:
          'Readiness of a model: its default version, and each step of a pipeline, has a worker',
        tags,
        params: ModelParams,
        response: modelResponses,
      },
    },
    async ({ params: { model: name } }, reply) => {
      const readiness = await modelReadiness(context, name)
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    },
  )

  app.get(
    '/v2/models/:model/versions/:version/ready',
    {
      schema: {
        operationId: 'modelVersionReady',
        summary: 'Readiness of one version of a model: it has a worker',
        tags,
        params: VersionParams,
        response: modelResponses,
      },
    },
    async ({ params: { model: name, version } }, reply) => {
      const readiness = await modelReadiness(context, name, version)
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    },
  )
}
