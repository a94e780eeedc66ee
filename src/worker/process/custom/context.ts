/** What a model's own code sees of its model and of the batch (MMS handlers, section 6.4, in camelCase). */
import type { WireHeader, WireRequest } from '../../wire/messages.ts'
import { Metrics } from './metrics.ts'

/** Parts of the context that stay the same for the life of a model. */
export interface ModelFacts {
  readonly modelName: string
  /** As the load request names it. */
  readonly handler: string
  /** `MAR-INF/MANIFEST.json` as it is, `null` when there is none. */
  readonly manifest: unknown
  readonly systemProperties: SystemProperties
}

export interface SystemProperties {
  readonly modelDir: string
  /** Device index, `null` for CPU. */
  readonly gpuId: number | null
  readonly batchSize: number
  readonly serverName: string
  readonly serverVersion: string
}

/** A header's text, or the content type of the parameter of that name. */
export type RequestProperty = string | { readonly 'content-type': string }

/** Thrown by a handler to fail the batch with a code and a message of its own. */
export class PredictionException extends Error {
  override readonly name = 'PredictionException'
  readonly code: number

  constructor(message: string, code = 500) {
    super(message)
    this.code = code
  }
}

/** The headers of one request, and status and headers of its answer. */
export class RequestProcessor {
  readonly #request: WireRequest
  #properties: Record<string, RequestProperty> | undefined
  readonly #responseHeaders = new Map<string, string>()
  #status = 200
  #phrase = ''

  constructor(request: WireRequest) {
    this.#request = request
  }

  getRequestProperty(name: string): RequestProperty | undefined {
    return this.getRequestProperties()[name]
  }

  /** Read only when asked for: most handlers never do. */
  getRequestProperties(): Record<string, RequestProperty> {
    return (this.#properties ??= readProperties(this.#request))
  }

  /** @throws TypeError when the code is no status; `undefined` and `null` mean 200. */
  reportStatus(code?: number | null, phrase?: string | number | null): void {
    const status = code ?? 200
    if (!Number.isInteger(status) || status < 0 || status > 999) {
      throw new TypeError(`a response status is a number below 1000, not ${String(code)}`)
    }
    this.#status = status
    this.#phrase = String(phrase ?? '')
  }

  getResponseStatusCode(): number {
    return this.#status
  }

  getResponseStatusPhrase(): string {
    return this.#phrase
  }

  /** The original's worker dies of a value that is no string; here it becomes one. */
  addResponseProperty(name: unknown, value: unknown): void {
    this.#responseHeaders.set(String(name), String(value))
  }

  getResponseHeader(name: string): string | undefined {
    return this.#responseHeaders.get(name)
  }

  getResponseHeaders(): WireHeader[] {
    return [...this.#responseHeaders]
  }
}

/** One for each batch, so that work which outlives its batch cannot touch another client's answer. */
export class HandlerContext {
  readonly modelName: string
  readonly manifest: unknown
  readonly systemProperties: SystemProperties
  /** Request ids by position in the batch. */
  readonly requestIds: Readonly<Record<number, string>>
  readonly requestProcessor: readonly RequestProcessor[]
  readonly metrics: Metrics
  readonly PredictionException = PredictionException

  constructor(facts: ModelFacts, requests: readonly WireRequest[]) {
    this.modelName = facts.modelName
    this.manifest = facts.manifest
    this.systemProperties = facts.systemProperties
    const ids = requests.map(({ id }) => id)
    this.requestIds = Object.fromEntries(ids.entries())
    this.requestProcessor = requests.map((request) => new RequestProcessor(request))
    this.metrics = new Metrics(facts.modelName, ids)
  }

  getRequestId(index = 0): string {
    return this.requestIds[index] ?? ''
  }

  /** Case-sensitive, as in the original. */
  getRequestHeader(index: number, name: string): RequestProperty | undefined {
    return this.#processor(index).getRequestProperty(name)
  }

  getAllRequestHeader(index: number): Record<string, RequestProperty> {
    return this.#processor(index).getRequestProperties()
  }

  setResponseContentType(index: number, value: unknown): void {
    this.setResponseHeader(index, 'content-type', value)
  }

  setResponseHeader(index: number, name: unknown, value: unknown): void {
    this.#processor(index).addResponseProperty(name, value)
  }

  setResponseStatus(code?: number | null, phrase?: string | number | null, index = 0): void {
    this.#processor(index).reportStatus(code, phrase)
  }

  setAllResponseStatus(code?: number | null, phrase?: string | number | null): void {
    for (const processor of this.requestProcessor) processor.reportStatus(code, phrase)
  }

  #processor(index: number): RequestProcessor {
    const processor = this.requestProcessor[index]
    if (processor) return processor
    throw new Error(`no request ${index} in a batch of ${this.requestProcessor.length}`)
  }
}

/** Without a prototype, so that a header called `__proto__` is a header like any other. */
function readProperties(request: WireRequest): Record<string, RequestProperty> {
  const properties: Record<string, RequestProperty> = {}
  Object.setPrototypeOf(properties, null)
  for (const { name, contentType } of request.parameters) {
    properties[name] = { 'content-type': contentType }
  }
  for (const [name, value] of request.headers) properties[name] = value
  return properties
}
