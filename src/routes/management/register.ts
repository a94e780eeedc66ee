/**
 * `POST /models`: registers a model from the store, a local path, a URL, or a file in the request.
 */
import { rm } from 'node:fs/promises'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import { DeepCheckQueue } from '../../models/deep-check/queue.ts'
import { isRemote } from '../../models/sources/location.ts'
import { prepareDelivery, prepareFromUrl } from '../../models/sources/prepare.ts'
import type { PreparedModel } from '../../models/sources/prepare.ts'
import { parseModelUrl, shownUrl } from '../../models/transfers/download-url.ts'
import { safeFileName } from '../../models/transfers/file-name.ts'
import { nameBeforeArrival } from '../../models/transfers/incoming-models.ts'
import { checkDigest } from '../../models/transfers/upload.ts'
import type { App, RouteContext } from '../route-context.ts'
import { StatusSchema, errorResponses } from '../schemas.ts'
import { statusBody, takeParameters } from './parameters.ts'
import { RegisterBody, RegisterQuery, UploadBody, registrationOf } from './register-parameters.ts'
import type { RegisterParameters } from './register-parameters.ts'
import { UPLOAD_FIELD, readUpload } from './upload.ts'
import type { Upload, UploadedFile } from './upload.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The uploaded model file, until the registration takes it over. */
    upload: (UploadedFile & { readonly folder: string; discard(): Promise<void> }) | undefined
  }
}

/**
 * Two paths with one handler. A client generator makes one function with one kind of body for each
 * operation, so a generated client could not upload a model by the path that takes JSON.
 */
const PATHS = {
  '/models': {
    operationId: 'registerModel',
    summary: 'Register a model',
    description:
      'Send the parameters in the query, as one JSON object, or as form fields. A value in the body ' +
      'overrides the query. This path also accepts the form of `/models/upload`.',
    openapi: { requestBody: RegisterBody },
  },
  '/models/upload': {
    operationId: 'uploadModel',
    summary: 'Upload and register a model',
    description: 'Send a multipart form with the model file, and the parameters as form fields.',
    openapi: { requestBody: UploadBody, hidesQuery: true },
  },
} as const

/** Adds the routes that register models. */
export function registerRoutes(app: App, context: RouteContext): void {
  app.decorateRequest('upload', undefined)
  const deepChecks = new DeepCheckQueue(context.stopping)
  registerRoute(app, context, '/models', deepChecks)
  registerRoute(app, context, '/models/upload', deepChecks)
}

function registerRoute(
  app: App,
  context: RouteContext,
  route: keyof typeof PATHS,
  deepChecks: DeepCheckQueue,
): void {
  const { registry } = context
  const take = takeParameters(RegisterQuery, context, (request, reply) => {
    reply.raw.once('close', () => void request.upload?.discard())
    return receive(request, context)
  })

  app.post(
    route,
    {
      schema: {
        ...PATHS[route],
        tags: ['management'],
        querystring: RegisterQuery,
        response: { 200: StatusSchema, 202: StatusSchema, ...errorResponses },
      },
      preValidation: async (request, reply) => {
        await take(request, reply)
        if (route !== '/models/upload' || request.upload !== undefined) return
        const text = `The body must be multipart/form-data with the file of the model as the field "${UPLOAD_FIELD}".`
        throw new ServerError('BadRequestException', text)
      },
    },
    async (request, reply) => {
      const { query, log } = request
      const prepared = await prepare(request, query, context)
      const { done, signal } = await registry.begin(prepared, registrationOf(query))
      if (query.deep_check === true) deepChecks.runAfter(done)
      if (query.synchronous === false) {
        const url = prepared[0]?.url ?? ''
        done.catch((error: unknown) => {
          // The model was unregistered or the server is stopping, so this is not a failure of the
          // model.
          if (signal.aborted) return
          const { reason, log: stderr } = registry.failures.record(url, error, prepared)
          log.error({ url, reason, stderr }, 'registration failed')
        })
        return reply.code(202).send(statusBody(request, 'Processing worker updates...'))
      }
      const [first] = await done
      const hasWorkers = first !== undefined && first.status.wantedWorkers > 0
      const status = hasWorkers ? 'Workers scaled' : `Model "${first?.name ?? ''}" registered`
      return reply.send(statusBody(request, status))
    },
  )
}

/** Saves the file to the disk if there is one, and returns the fields. */
async function receive(
  request: FastifyRequest,
  { config, deliveries }: RouteContext,
): Promise<Upload['fields']> {
  const folder = deliveries.newFolder()
  const discard = (): Promise<void> => rm(folder, { recursive: true, force: true })
  const { fields, file } = await readUpload(request, {
    folder,
    maxBytes: config.maxModelBytes,
    transfers: deliveries.transfers,
  }).catch(async (error: unknown) => {
    await discard()
    throw error
  })
  if (file === undefined) return fields
  request.upload = { ...file, folder, discard }
  request.log.info({ bytes: file.bytes, fileName: file.fileName }, 'model uploaded')
  return fields
}

async function prepare(
  request: FastifyRequest,
  query: RegisterParameters,
  { config, deliveries, registry, sources }: RouteContext,
): Promise<PreparedModel[]> {
  const named = {
    ...sources,
    name: query.model_name,
    version: query.model_version,
    handler: query.handler,
    runtime: query.runtime,
  }
  const sha256 = query.sha256?.toLowerCase()
  const { upload } = request
  const { url } = query
  if (upload !== undefined) {
    if (url !== undefined) {
      const text = 'Send either the parameter url or a model file, not both.'
      throw new ServerError('BadRequestException', text)
    }
    if (sha256 !== undefined) await checkDigest(upload.path, sha256)
    request.upload = undefined
    return prepareDelivery({ ...upload, sha256 }, upload.fileName, named)
  }
  if (url === undefined) {
    throw new ServerError('BadRequestException', 'Parameter url is required.')
  }
  if (!isRemote(url)) {
    if (sha256 === undefined) return prepareFromUrl(url, named)
    const text = 'Parameter sha256 is only valid for models that are uploaded or downloaded.'
    throw new ServerError('BadRequestException', text)
  }
  const location = parseModelUrl(url, config.allowedOrigins)
  const name = nameBeforeArrival(named.name, safeFileName(location.pathname))
  return registry.arrivals.run(name, async (signal) => {
    const delivery = await deliveries.download(location, sha256, signal)
    // Without the query, because it may contain a signature.
    return prepareDelivery(delivery, shownUrl(location), named)
  })
}
