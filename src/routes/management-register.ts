/** `POST /models`: from the store, a path, an address, or with the model in the request. */
import { rm } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.ts'
import { batchDelay } from '../model-settings.ts'
import { nameBeforeArrival } from '../models/arrivals.ts'
import { parseModelUrl, shownUrl } from '../models/download-url.ts'
import { safeFileName } from '../models/file-name.ts'
import { UnwantedLoadError } from '../models/loads.ts'
import type { Registration } from '../models/model-version.ts'
import { isRemote } from '../models/source-location.ts'
import { prepareDelivery, prepareFromUrl } from '../models/source.ts'
import type { PreparedModel } from '../models/source.ts'
import { checkDigest } from '../models/upload.ts'
import type { App, RouteContext } from './route-context.ts'
import { StatusSchema, errorResponses } from './schemas.ts'
import { UPLOAD_FIELD, readUpload } from './upload.ts'
import type { Upload } from './upload.ts'

const RegisterQuery = Type.Object({
  url: Type.Optional(
    Type.String({
      description:
        'A file or folder in the model store, a path of this machine where the operator allows it, or an http(s) address of an allowed origin.',
    }),
  ),
  model_name: Type.Optional(
    Type.String({ description: 'Name to serve the model under; its own when absent.' }),
  ),
  model_version: Type.Optional(
    Type.String({ description: 'Version to register under; the model’s own when absent.' }),
  ),
  handler: Type.Optional(
    Type.String({
      description: '`onnx`, `image`, or `module.js:function` of the model’s own code.',
    }),
  ),
  runtime: Type.Optional(
    Type.String({
      maxLength: 100,
      description: 'Must be that of the model: `node` for networks and JavaScript.',
    }),
  ),
  preload_model: Type.Optional(
    Type.Boolean({ description: 'Without effect: every worker loads the model itself.' }),
  ),
  sha256: Type.Optional(
    Type.String({
      pattern: '^[0-9A-Fa-f]{64}$',
      description: 'What an uploaded or downloaded file must hash to.',
    }),
  ),
  batch_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
  max_batch_delay: Type.Optional(
    batchDelay(
      { description: 'Milliseconds; `auto` waits as long as it pays.' },
      { maximum: 60_000 },
    ),
  ),
  initial_workers: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
  synchronous: Type.Optional(
    Type.Boolean({ default: true, description: 'Answer when the workers are ready.' }),
  ),
  response_timeout: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 86_400, description: 'Seconds for one answer.' }),
  ),
  startup_timeout: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'Seconds for a worker to start and load the model.',
    }),
  ),
})

const RegisterBody = {
  content: {
    'application/json': { schema: RegisterQuery },
    'multipart/form-data': {
      schema: Type.Composite([
        Type.Object({ [UPLOAD_FIELD]: Type.String({ format: 'binary' }) }),
        RegisterQuery,
      ]),
    },
  },
}

type RegisterParameters = Static<typeof RegisterQuery>

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
    const delivery = await deliveries.download(url, sha256, signal)
    // Without its query, which may be a signature.
    return prepareDelivery(delivery, shownUrl(location), named)
  })
}

function registrationOf(query: RegisterParameters): Registration {
  return {
    origin: 'request',
    options: {
      handler: query.handler,
      batchSize: query.batch_size,
      maxBatchDelayMs: query.max_batch_delay,
      workers: query.initial_workers,
      responseTimeoutMs: milliseconds(query.response_timeout),
      startupTimeoutMs: milliseconds(query.startup_timeout),
    },
  }
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}
