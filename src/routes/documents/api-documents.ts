/**
 * OpenAPI documents of a listener with all its models, and of single models. A document is written
 * when a client requests it.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { asHandlerMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { DocumentCache } from '../../openapi/document-cache.ts'
import { buildDocument } from '../../openapi/document.ts'
import type { DocumentOptions, TokenKind } from '../../openapi/document.ts'
import type { DocumentedModel } from '../../openapi/model-operations.ts'
import type { DocumentedRoute } from '../../openapi/route-operations.ts'
import type { OpenApiVersion, Operation } from '../../openapi/types.ts'
import { readPackageVersion } from '../../package-files.ts'
import { mayUse } from '../http/access/caller.ts'
import { protocolErrors } from '../kserve/v2-schemas.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'

/** Which routes a document describes. */
export type Listener = 'inference' | 'management' | 'combined'

const TITLES: Readonly<Record<Listener, string>> = {
  inference: 'onnxd inference',
  management: 'onnxd management',
  combined: 'onnxd',
}
const MODEL_VERSION = '1.0.0'
const ERRORS = { original: errorResponses, protocol: protocolErrors }

/** Tags of operations that need no token for inference. */
const OPEN_TAGS: ReadonlySet<string | undefined> = new Set(['health', 'documents'])

type About = Pick<DocumentOptions, 'title' | 'description' | 'apiVersion' | 'routes' | 'models'>

/** The document that a request asks for. */
interface DocumentQuery {
  readonly format: 'json' | 'yaml'
  readonly version: OpenApiVersion
  /** Only this model. If absent, the document describes the whole listener. */
  readonly model?: DocumentedModel
}

/**
 * The documents of one app. Create it before the routes: a hook collects them as they are added.
 */
export class ApiDocuments {
  readonly #context: RouteContext
  readonly #listener: Listener
  readonly #apiVersion: string
  readonly #routes: DocumentedRoute[] = []
  readonly #cache = new DocumentCache()

  private constructor(context: RouteContext, listener: Listener, apiVersion: string) {
    this.#context = context
    this.#listener = listener
    this.#apiVersion = apiVersion
  }

  static async create(app: App, context: RouteContext, listener: Listener): Promise<ApiDocuments> {
    const documents = new ApiDocuments(context, listener, await readPackageVersion())
    app.addHook('onRoute', ({ method, url, schema = {} }) => {
      // Fastify adds a HEAD route to each GET route.
      if (schema.operationId === undefined || typeof method !== 'string' || method === 'HEAD')
        return
      documents.#routes.push({ method, url, schema })
    })
    return documents
  }

  /** Sends a document, or 304 if the client already has it. */
  async send(
    request: FastifyRequest,
    reply: FastifyReply,
    wanted: DocumentQuery,
  ): Promise<FastifyReply> {
    const { format, version, model } = wanted
    const serverUrl = rootOf(request.url)
    const write = format === 'json' ? asJson : await loadYaml()
    const content = model === undefined ? this.#shownTo(request) : [model.name, model.version ?? '']
    const key = [serverUrl, format, version, ...content].join(' ')
    const { text, etag } = this.#cache.get(this.#state(), key, () => {
      const about = model === undefined ? this.#aboutAll(request) : aboutModel(model)
      const tokenFor = (operation: Operation): TokenKind | undefined =>
        model === undefined ? this.#tokenFor(operation) : this.#inferenceToken(operation)
      return write(buildDocument({ ...about, tokenFor, errors: ERRORS, version, serverUrl }))
    })
    // Clients may cache a document but must revalidate it, because the models may have changed.
    reply.headers({ etag, 'cache-control': 'no-cache' })
    if (hasIt(request.headers['if-none-match'], etag)) return reply.code(304).send()
    return reply.type(`application/${format}`).send(text)
  }

  /** What differs between documents for different senders: the models that they see. */
  #shownTo(request: FastifyRequest): string[] {
    if (request.caller === undefined) return ['all']
    return ['only', ...this.#context.registry.names.filter((name) => mayUse(request, name))]
  }

  #aboutAll(request: FastifyRequest): About {
    const listener = this.#listener
    return {
      title: TITLES[listener],
      description: `The HTTP API of onnxd${listener === 'combined' ? '' : `: ${listener} listener`}.`,
      apiVersion: this.#apiVersion,
      routes: this.#routes,
      models: listener === 'management' ? [] : this.#models(request),
    }
  }

  #tokenFor(operation: Operation): TokenKind | undefined {
    const { exposeRepository } = this.#context.config
    const [tag] = operation.tags
    const isOperators = tag === 'management' || (tag === 'repository' && !exposeRepository)
    if (this.#listener === 'management' || (this.#listener === 'combined' && isOperators))
      return 'managementToken'
    return this.#inferenceToken(operation)
  }

  #inferenceToken({ tags: [tag] }: Operation): TokenKind | undefined {
    return this.#needsToken && !OPEN_TAGS.has(tag) ? 'token' : undefined
  }

  get #needsToken(): boolean {
    return this.#context.access.tokens?.guards('inference') ?? false
  }

  /**
   * Every version. The default version of each model is listed a second time, without a version.
   */
  #models(request: FastifyRequest): DocumentedModel[] {
    const { registry } = this.#context
    const shown = registry.all.filter(({ name }) => mayUse(request, name))
    return shown.flatMap((model) => [
      ...(registry.isDefault(model) ? [documented(model, false)] : []),
      documented(model, true),
    ])
  }

  #state(): unknown[] {
    const { registry } = this.#context
    const models = registry.all.flatMap((model) => {
      return [model, model.metadata, registry.isDefault(model)]
    })
    return [this.#needsToken, ...models]
  }
}

function aboutModel(model: DocumentedModel): About {
  const { name, version } = model
  return {
    title: name,
    description:
      version === undefined ? `The model ${name}.` : `Version ${version} of the model ${name}.`,
    apiVersion: version ?? MODEL_VERSION,
    routes: [],
    models: [model],
  }
}

function asJson(document: unknown): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

/** Loads the YAML library on first use: it is slow to load, and few clients request YAML. */
async function loadYaml(): Promise<typeof asJson> {
  const { stringify } = await import('yaml')
  return (document) => stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 })
}

/** A model for a document, with or without its version in the paths. */
export function documented(model: ModelVersion, withVersion: boolean): DocumentedModel {
  const { name, version, settings } = model
  return {
    name,
    priorityLevels: settings.priorityLevels,
    version: withVersion ? version : undefined,
    metadata: asHandlerMetadata(model.metadata),
  }
}

/** The relative URL that leads from the path of a request to the root. */
function rootOf(url: string): string {
  const [path = ''] = url.split('?')
  const depth = path.split('/').length - 2
  return depth > 0 ? '../'.repeat(depth) : './'
}

/** Whether `If-None-Match` contains this ETag, by weak comparison (RFC 9110, section 13.1.2). */
function hasIt(header: string | undefined, etag: string): boolean {
  const known = (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return known.includes(etag) || known.includes('*')
}
