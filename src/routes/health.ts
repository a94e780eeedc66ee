/** Three questions that a platform asks: is the process alive, can it serve, can this model be used? */
import { Type } from '@sinclair/typebox'
import type { ModelVersion } from '../models/model-version.ts'
import type { Registry } from '../models/registry.ts'
import type { App, RouteContext } from './route-context.ts'

const tags = ['health']
const Live = Type.Object({ live: Type.Boolean() })
const Ready = Type.Object({ ready: Type.Boolean() })
const ModelReady = Type.Object({ name: Type.String(), ready: Type.Boolean() })
/** Errors on `/v2` have this one member (Open Inference Protocol). */
const ProtocolError = Type.Object({ error: Type.String() })
const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const VersionParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
  version: Type.String({ description: 'Version of the model.' }),
})

/** Adds `/v2/health/live`, `/v2/health/ready` and `/v2/models/{model}/ready`, with their bodies of the Open Inference Protocol. */
export function healthRoutes(app: App, { registry, isAccepting }: RouteContext): void {
  app.get(
    '/v2/health/live',
    {
      schema: {
        operationId: 'serverLive',
        summary: 'The process answers',
        tags,
        response: { 200: Live },
      },
    },
    async (_request, reply) => reply.send({ live: true }),
  )

  app.get(
    '/v2/health/ready',
    {
      schema: {
        operationId: 'serverReady',
        summary: 'The models of the start are loaded and every model has a worker',
        tags,
        response: { 200: Ready, 503: Ready },
      },
    },
    async (_request, reply) => {
      const ready = isAccepting() && registry.all.every(isReady)
      return reply.code(ready ? 200 : 503).send({ ready })
    },
  )

  const modelResponses = { 200: ModelReady, 404: ProtocolError, 503: ModelReady }
  app.get(
    '/v2/models/:model/ready',
    {
      schema: {
        operationId: 'modelReady',
        summary: 'The default version of a model has a worker',
        tags,
        params: ModelParams,
        response: modelResponses,
      },
    },
    async ({ params: { model: name } }, reply) => {
      const model = find(registry, name)
      if (model === undefined) {
        return reply.code(404).send({ error: `Request for unknown model: '${name}' is not found` })
      }
      const ready = isReady(model)
      return reply.code(ready ? 200 : 503).send({ name, ready })
    },
  )

  app.get(
    '/v2/models/:model/versions/:version/ready',
    {
      schema: {
        operationId: 'modelVersionReady',
        summary: 'One version of a model has a worker',
        tags,
        params: VersionParams,
        response: modelResponses,
      },
    },
    async ({ params: { model: name, version } }, reply) => {
      const model = find(registry, name, version)
      if (model === undefined) {
        const error = `Request for unknown model: '${name}' version ${version} is not found`
        return reply.code(404).send({ error })
      }
      const ready = isReady(model)
      return reply.code(ready ? 200 : 503).send({ name, ready })
    },
  )
}

/** A model that was scaled to no workers on purpose has nothing to wait for. */
function isReady({ pool, minWorkers }: ModelVersion): boolean {
  return minWorkers === 0 || pool.readyWorkers > 0
}

function find(registry: Registry, name: string, version?: string): ModelVersion | undefined {
  return registry.all.find(
    (model) =>
      model.name === name &&
      (version === undefined ? registry.isDefault(model) : model.version === version),
  )
}
