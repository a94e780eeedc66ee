/**
 * Builds the HTTP applications: inference, management, or both on one port. None of them listens:
 * `server.ts` starts the listeners, and tests can call `inject`.
 */
import { randomUUID } from 'node:crypto'
import { parse } from 'node:querystring'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { LogController } from 'fastify'
import type { FastifyBaseLogger } from 'fastify'
import { consoleRoutes, sendBrowsersToConsole } from './routes/console/console-routes.ts'
import { ApiDocuments } from './routes/documents/api-documents.ts'
import { docsPageRoutes } from './routes/documents/docs-page.ts'
import { documentRoutes, modelDocumentRoutes } from './routes/documents/openapi.ts'
import { protect } from './routes/http/access/protect.ts'
import { readBodies } from './routes/http/body.ts'
import { guardAgainstBrowsers } from './routes/http/browser-guard.ts'
import { refuseUrl } from './routes/http/connections/connection-errors.ts'
import { connectionLimits } from './routes/http/connections/connection-limits.ts'
import { Connections } from './routes/http/connections/connections.ts'
import { MAX_HEADER_BYTES } from './routes/http/connections/http-server.ts'
import { checkMessage } from './routes/http/connections/message-check.ts'
import { errorHandling, refuseOtherMethods } from './routes/http/error-handler.ts'
import { watchRequests } from './routes/http/open-requests.ts'
import { readRequestTarget } from './routes/http/request-target.ts'
import { addAnswerHeaders } from './routes/http/response-headers.ts'
import { schemaController } from './routes/http/schema-compilers.ts'
import { healthRoutes } from './routes/kserve/health.ts'
import { v1Routes } from './routes/kserve/v1.ts'
import { inferRoutes } from './routes/kserve/v2-infer.ts'
import { metadataRoutes } from './routes/kserve/v2-metadata.ts'
import { protoRoutes } from './routes/kserve/v2-proto.ts'
import { closedRepositoryRoutes, repositoryRoutes } from './routes/kserve/v2-repository.ts'
import { answerWhenShared, managementRoutes } from './routes/management/models.ts'
import { metricsRoute } from './routes/metrics.ts'
import { pointToManagement } from './routes/misplaced.ts'
import {
  apiDescriptionRoutes,
  modelDescriptionRoute,
  predictDescriptionRoutes,
} from './routes/mms/api-description.ts'
import { executionParametersRoute } from './routes/mms/execution-parameters.ts'
import { pingRoute } from './routes/mms/ping.ts'
import { predictionRoutes } from './routes/mms/predictions.ts'
import { pageRoutes } from './routes/pages/page-routes.ts'
import type { App, RouteContext } from './routes/route-context.ts'
import { textRoutes } from './routes/text/text-routes.ts'

/** A client's request id is kept if it has 1 to 128 printable characters; else it is replaced. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** The routes for clients: predictions, health and metadata. */
export async function buildInferenceApp(
  context: RouteContext,
  log: FastifyBaseLogger,
): Promise<App> {
  const app = newApp(context, log, 'inference')
  await protect(app, context, () => 'inference')
  const routes = collectRoutes(app)
  const documents = await ApiDocuments.create(app, context, 'inference')
  await readBodies(app, context)
  await clientRoutes(app, context, documents)
  if (!context.config.exposeRepository) closedRepositoryRoutes(app)
  pointToManagement(app, context)
  refuseOtherMethods(app, routes)
  return app
}

/** The routes for operators. If there are tokens for them, all need one, and unknown paths too. */
export async function buildManagementApp(
  context: RouteContext,
  log: FastifyBaseLogger,
): Promise<App> {
  const app = newApp(context, log, 'management')
  sendBrowsersToConsole(app)
  await protect(app, context, () => 'management')
  const routes = collectRoutes(app)
  const documents = await ApiDocuments.create(app, context, 'management')
  guardAgainstBrowsers(app, context.config, isGuarded(context))
  await readBodies(app, context)
  documentRoutes(app, documents)
  apiDescriptionRoutes(app, documents)
  modelDescriptionRoute(app, context, documents)
  pingRoute(app, context)
  healthRoutes(app, context)
  operatorRoutes(app, context)
  repositoryRoutes(app, context)
  refuseOtherMethods(app, routes)
  answerWhenShared(app, context)
  return app
}

/**
 * All routes on one port, as SageMaker's multi-model endpoints need them. A path of operators needs
 * their tokens, whatever its method is.
 */
export async function buildCombinedApp(
  context: RouteContext,
  log: FastifyBaseLogger,
): Promise<App> {
  const app = newApp(context, log, 'inference')
  const operatorUrls = new Set<string>()
  sendBrowsersToConsole(app)
  await protect(app, context, ({ routeOptions: { url = '' } }) =>
    operatorUrls.has(url) ? 'management' : 'inference',
  )
  const routes = collectRoutes(app)
  const documents = await ApiDocuments.create(app, context, 'combined')
  await readBodies(app, context)
  await clientRoutes(app, context, documents)
  modelDescriptionRoute(app, context, documents)
  await app.register((scope, _options, done) => {
    const operators = scope.withTypeProvider<TypeBoxTypeProvider>()
    operators.addHook('onRoute', ({ url }) => void operatorUrls.add(url))
    guardAgainstBrowsers(operators, context.config, isGuarded(context))
    operatorRoutes(operators, context)
    if (!context.config.exposeRepository) repositoryRoutes(operators, context)
    done()
  })
  refuseOtherMethods(app, routes)
  return app
}

async function clientRoutes(
  app: App,
  context: RouteContext,
  documents: ApiDocuments,
): Promise<void> {
  docsPageRoutes(app)
  pageRoutes(app, { path: '/playground', name: 'playground', title: 'onnxd playground' })
  documentRoutes(app, documents)
  modelDocumentRoutes(app, context, documents)
  apiDescriptionRoutes(app, documents)
  predictDescriptionRoutes(app, context, documents)
  pingRoute(app, context)
  healthRoutes(app, context)
  executionParametersRoute(app, context)
  predictionRoutes(app, context)
  await metadataRoutes(app, context)
  protoRoutes(app, context)
  inferRoutes(app, context)
  v1Routes(app, context)
  await textRoutes(app, context)
  if (context.config.exposeRepository) await exposedRepository(app, context)
}

/** Every client of the inference listener may load and unload models here, but no web page may. */
async function exposedRepository(app: App, context: RouteContext): Promise<void> {
  await app.register((scope, _options, done) => {
    const clients = scope.withTypeProvider<TypeBoxTypeProvider>()
    guardAgainstBrowsers(clients, context.config, () => false)
    repositoryRoutes(clients, context)
    done()
  })
}

/** Whether management requests need a token now. */
function isGuarded({ access }: RouteContext): () => boolean {
  return () => access.tokens?.guards('management') ?? false
}

function operatorRoutes(app: App, context: RouteContext): void {
  managementRoutes(app, context)
  metricsRoute(app, context)
  consoleRoutes(app, context)
}

function newApp(
  { config, metrics, budget, tracing, recorder, access }: RouteContext,
  log: FastifyBaseLogger,
  listener: 'inference' | 'management',
): App {
  const connections = new Connections(connectionLimits(config, listener), log, access.tls)
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
    },
    routerOptions: {
      ignoreTrailingSlash: true,
      // A longer name matches no model. The route reports that with its own error.
      maxParamLength: MAX_HEADER_BYTES,
      querystringParser: (text) => parse(text),
    },
    rewriteUrl: readRequestTarget,
    bodyLimit: config.maxBodyBytes,
    ...(config.trustProxy.length > 0 && { trustProxy: [...config.trustProxy] }),
    serverFactory: (handler) => connections.createServer(handler),
    // TypeBox writes valid schemas. Ajv would need longer to validate them than to compile them.
    ajv: { customOptions: { removeAdditional: false, validateSchema: false } },
    schemaController,
    frameworkErrors: refuseUrl,
    clientErrorHandler: (error, socket) => connections.refuse(error, socket),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.removeAllContentTypeParsers()
  app.setReplySerializer((payload) => `${JSON.stringify(payload, null, 2)}\n`)
  const { accessLog, accessLogSample, serverTiming } = config
  watchRequests(app, {
    connections,
    budget,
    counts: metrics.responses[listener],
    log: accessLog ? log : undefined,
    logSample: accessLogSample,
    serverTiming,
    maxResponseBytes: config.maxResponseBytes,
    tracing,
    recorder,
  })
  app.addHook('onRequest', checkMessage)
  addAnswerHeaders(app)
  errorHandling(app)
  return app
}

function collectRoutes(app: App): Map<string, Set<string>> {
  const routes = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set()
    routes.set(url, methods)
    for (const name of [method].flat()) methods.add(name)
  })
  return routes
}
