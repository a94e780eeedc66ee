/** OpenAPI documents: of a listener with all its models, and of single models. They are written when someone asks. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { asModelMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { DocumentCache } from '../../openapi/document-cache.ts'
import { buildDocument } from '../../openapi/document.ts'
import type { DocumentOptions } from '../../openapi/document.ts'
import type { DocumentedModel } from '../../openapi/model-operations.ts'
import type { DocumentedRoute } from '../../openapi/route-operations.ts'
import type { OpenApiVersion } from '../../openapi/types.ts'
import { readPackageVersion } from '../../package-files.ts'
import { protocolErrors } from '../kserve/v2-schemas.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'

/** Which routes a document is about. */
export type Listener = 'inference' | 'management' | 'combined'

const TITLES: Readonly<Record<Listener, string>> = {
  inference: 'onnxd inference',
  management: 'onnxd management',
  combined: 'onnxd',
}
const MODEL_VERSION = '1.0.0'

/** What a request asks for. */
interface Wanted {
  readonly format: 'json' | 'yaml'
  readonly version: OpenApiVersion
  /** One model alone; the whole listener when absent. */
  readonly model?: DocumentedModel
}

/** The documents of one app. Notes its routes, so it has to be made before them. */
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
      // Fastify adds a HEAD to each GET.
      if (schema.operationId === undefined || typeof method !== 'string' || method === 'HEAD')
        return
      documents.#routes.push({ method, url, schema })
    })
    return documents
  }

  /** Answers with a document, or with 304 when the client has it. */
  async send(request: FastifyRequest, reply: FastifyReply, wanted: Wanted): Promise<FastifyReply> {
    const { format, version, model } = wanted
    const serverUrl = rootOf(request.url)
    const write = format === 'json' ? asJson : await loadYaml()
    const key = [serverUrl, format, version, model?.name ?? '', model?.version ?? ''].join(' ')
    const { text, etag } = this.#cache.get(this.#state(), key, () => {
      return write(buildDocument({ ...this.#about(model), version, serverUrl }))
    })
    // It may be kept, but has to be asked for again: the models may have changed.
    reply.headers({ etag, 'cache-control': 'no-cache' })
    if (hasIt(request.headers['if-none-match'], etag)) return reply.code(304).send()
    return reply.type(`application/${format}`).send(text)
  }

  #about(model: DocumentedModel | undefined): Omit<DocumentOptions, 'version' | 'serverUrl'> {
    const errors = { original: errorResponses, protocol: protocolErrors }
    if (model !== undefined) {
      const { name, version } = model
      return {
        title: name,
        description:
          version === undefined ? `The model ${name}.` : `Version ${version} of the model ${name}.`,
        apiVersion: version ?? MODEL_VERSION,
        routes: [],
        models: [model],
        errors,
        isGuarded: () => false,
      }
    }
    const listener = this.#listener
    const { exposeRepository } = this.#context.config
    return {
      title: TITLES[listener],
      description: `The HTTP interface of onnxd${listener === 'combined' ? '' : `, ${listener} address`}.`,
      apiVersion: this.#apiVersion,
      routes: this.#routes,
      models: listener === 'management' ? [] : this.#models(),
      errors,
      isGuarded: ({ tags: [tag] }) =>
        listener === 'management' ||
        (listener === 'combined' &&
          (tag === 'management' || (tag === 'repository' && !exposeRepository))),
    }
  }

  /** Every version, and each model once more as clients call it that name none. */
  #models(): DocumentedModel[] {
    const { registry } = this.#context
    return registry.all.flatMap((model) => [
      ...(registry.isDefault(model) ? [documented(model, false)] : []),
      documented(model, true),
    ])
  }

  #state(): unknown[] {
    const { registry } = this.#context
    return registry.all.flatMap((model) => [model, model.metadata, registry.isDefault(model)])
  }
}

function asJson(document: unknown): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

/** Few ask for YAML, and its library takes a while to load. */
async function loadYaml(): Promise<typeof asJson> {
  const { stringify } = await import('yaml')
  return (document) => stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 })
}

/** A model as a document shows it, with or without its version in the paths. */
export function documented(model: ModelVersion, withVersion: boolean): DocumentedModel {
  const { name, version, settings } = model
  return {
    name,
    priorityLevels: settings.priorityLevels,
    version: withVersion ? version : undefined,
    metadata: asModelMetadata(model.metadata),
  }
}

/** From the path of a request back to the root, relative to that path. */
function rootOf(url: string): string {
  const [path = ''] = url.split('?')
  const depth = path.split('/').length - 2
  return depth > 0 ? '../'.repeat(depth) : './'
}

/** Whether one of the tags in `If-None-Match` is this one; those are compared weakly (RFC 9110, section 13.1.2). */
function hasIt(header: string | undefined, etag: string): boolean {
  const known = (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return known.includes(etag) || known.includes('*')
}
