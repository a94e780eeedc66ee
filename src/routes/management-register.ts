/** `POST /models`: from the store, a path, an address, or with the model in the request. */
import { rm } from 'node:fs/promises'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.ts'
import { nameBeforeArrival } from '../models/arrivals.ts'
import { parseModelUrl, shownUrl } from '../models/download-url.ts'
import { safeFileName } from '../models/file-name.ts'
import { UnwantedLoadError } from '../models/loads.ts'
import { isRemote } from '../models/source-location.ts'
import { prepareDelivery, prepareFromUrl } from '../models/source.ts'
import type { PreparedModel } from '../models/source.ts'
import { checkDigest } from '../models/upload.ts'
import { RegisterBody, RegisterQuery, registrationOf } from './register-parameters.ts'
import type { RegisterParameters } from './register-parameters.ts'
import type { App, RouteContext } from './route-context.ts'
import { StatusSchema, errorResponses } from './schemas.ts'
import { readUpload } from './upload.ts'
import type { Upload } from './upload.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The model that came with the request, until the registration has taken it over. */
    upload: (Upload & { readonly folder: string }) | undefined
  }
}

/** Adds the route that registers models. */
export function registerRoute(app: App, context: RouteContext): void {
  const { registry } = context
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.decorateRequest('upload', undefined)

  app.post(
    '/models',
    {
      schema: {
        operationId: 'registerModel',
        summary: 'Register a model',
        description:
          'Parameters come in the query, or as one JSON object in the body; then the query is ignored. ' +
          'A multipart form may carry the file of the model as `model`, with the parameters as fields.',
        tags: ['management'],
        querystring: RegisterQuery,
        response: { 200: StatusSchema, 202: StatusSchema, ...errorResponses },
        openapi: { requestBody: RegisterBody },
      },
      // Wherever the parameters come from, one schema checks them: that of the query.
      preValidation: (request, reply, done) => {
        if (request.isMultipart()) {
          receive(request, context).then((fields) => {
            request.query = fields
            reply.raw.once('close', () => void request.upload?.discard())
            done()
          }, done)
        } else if (Buffer.isBuffer(request.body) && isJson(request)) {
          void parseJson(request, request.body.toString('utf8'), (error, body: unknown) => {
            if (error === null && typeof body === 'object' && body !== null) request.query = body
            done(error ?? undefined)
          })
        } else {
          done()
        }
      },
    },
    async (request, reply) => {
      const { query, log } = request
      const prepared = await prepare(request, query, context)
      const registering = registry.register(prepared, registrationOf(query))
      if (query.synchronous === false) {
        const url = prepared[0]?.url ?? ''
        registering.catch((error: unknown) => {
          if (error instanceof UnwantedLoadError) return
          const { reason, log: stderr } = registry.failures.record(url, error, prepared)
          log.error({ url, reason, stderr }, 'registration failed')
        })
        return reply.code(202).send({ status: 'Processing worker updates...' })
      }
      const [first] = await registering
      const hasWorkers = first !== undefined && first.settings.workers > 0
      return reply.send({
        status: hasWorkers ? 'Workers scaled' : `Model "${first?.name ?? ''}" registered`,
      })
    },
  )
}

function isJson({ headers }: FastifyRequest): boolean {
  return /^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')
}

/** Takes the uploaded file to the disk and returns the other fields. */
async function receive(
  request: FastifyRequest,
  { config, deliveries }: RouteContext,
): Promise<Readonly<Record<string, string>>> {
  const folder = deliveries.newFolder()
  const discard = (): Promise<void> => rm(folder, { recursive: true, force: true })
  const upload = await readUpload(request, {
    folder,
    maxBytes: config.maxModelBytes,
    fieldNames: Object.keys(RegisterQuery.properties),
    transfers: deliveries.transfers,
  }).catch(async (error: unknown) => {
    await discard()
    throw error
  })
  request.upload = { ...upload, folder, discard }
  request.log.info({ bytes: upload.bytes, fileName: upload.fileName }, 'model uploaded')
  return { ...upload.fields }
}

async function prepare(
  request: FastifyRequest,
  query: RegisterParameters,
  { config, deliveries, registry, sources }: RouteContext,
): Promise<PreparedModel[]> {
  const named = {
    ...sources,
    name: query.model_name || undefined,
    version: query.model_version || undefined,
    runtime: query.runtime,
  }
  const sha256 = query.sha256?.toLowerCase()
  const { upload } = request
  if (upload !== undefined) {
    if (sha256 !== undefined) await checkDigest(upload.path, sha256)
    request.upload = undefined
    return prepareDelivery({ ...upload, sha256 }, upload.fileName, named)
  }
  const { url } = query
  if (url === undefined || url === '') {
    throw new ServerError('BadRequestException', 'Parameter url is required.')
  }
  if (!isRemote(url)) {
    if (sha256 === undefined) return prepareFromUrl(url, named)
    const text = 'Parameter sha256 is for models that are uploaded or downloaded.'
    throw new ServerError('BadRequestException', text)
  }
  const location = parseModelUrl(url, config.allowedOrigins)
  const name = nameBeforeArrival(named.name, safeFileName(location.pathname))
  return registry.arrivals.run(name, async (signal) => {
    const delivery = await deliveries.download(location, sha256, signal)
    // Without its query, which may be a signature.
    return prepareDelivery(delivery, shownUrl(location), named)
  })
}
