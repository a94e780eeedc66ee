/**
 * The API that a custom handler uses: its model and the current batch. It is the context of MMS's
 * handlers, with names in camelCase.
 */
import type {
  HandlerContext as PublicContext,
  HandlerServer,
  OnnxModel,
  RequestProperty,
  SystemProperties,
} from '../../../../types/handler.d.ts'
import { STREAM_HEADER } from '../../wire/messages.ts'
import type { WireHeader, WireRequest } from '../../wire/messages.ts'
import type { ModelCalls } from '../handler.ts'
import { Metrics } from './metrics.ts'
import { PredictionException } from './prediction-exception.ts'

/** HTTP has statuses from 100 to 599. Those below 200 do not end a request. */
const MIN_STATUS = 200
const MAX_STATUS = 599
const MAX_SHOWN = 100

/** Parts of the context that do not change while the model is loaded. */
export interface ModelFacts {
  readonly modelName: string
  /** The handler as the load request names it. */
  readonly handler: string
  /** Content of `MAR-INF/MANIFEST.json`; `null` when the file does not exist. */
  readonly manifest: unknown
  readonly systemProperties: SystemProperties
  /** Absent if the front-end is not that of onnxd. */
  readonly calls: ModelCalls | undefined
  /** The ONNX model of the folder. */
  readonly model?: OnnxModel | undefined
}

/** The headers of one request, and the status and headers of its response. */
export class RequestProcessor {
  readonly #request: WireRequest
  #properties: Record<string, RequestProperty> | undefined
  readonly #responseHeaders = new Map<string, string>()
  #status = 200
  #phrase = ''
  #mistake: TypeError | undefined
  #leaving: AbortController | undefined

  constructor(request: WireRequest) {
    this.#request = request
  }

  /** HTTP ignores the case of header names, so another spelling is found too. */
  getRequestProperty(name: string): RequestProperty | undefined {
    return this.getRequestProperties()[name] ?? this.#headerInAnyCase(name.toLowerCase())
  }

  /** Built at the first call, because most handlers never read it. */
  getRequestProperties(): Record<string, RequestProperty> {
    return (this.#properties ??= readProperties(this.#request))
  }

  /**
   * The first value that cannot be in a response. It fails this request only, so the methods do not
   * throw: that would fail all requests of the batch.
   */
  get mistake(): TypeError | undefined {
    return this.#mistake
  }

  /** Aborted when the client of a streamed response has left. */
  get signal(): AbortSignal {
    return (this.#leaving ??= new AbortController()).signal
  }

  /** The client has left. */
  leave(): void {
    this.#leaving ??= new AbortController()
    this.#leaving.abort()
  }

  /** Sets the status of the response; `undefined` and `null` mean 200. */
  reportStatus(code?: number | null, phrase?: string | number | null): void {
    const status = code ?? 200
    if (!Number.isInteger(status) || status < MIN_STATUS || status > MAX_STATUS) {
      this.#note(
        `The handler set an invalid response status: ${shown(status)}. A status is a whole number from ${MIN_STATUS} to ${MAX_STATUS}.`,
      )
      return
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

  /**
   * Converts values to text. An MMS worker dies when a value is not a string. The text of a list
   * would be one value with commas, which `Set-Cookie` and others do not allow.
   */
  addResponseProperty(name: unknown, value: unknown): void {
    // Only the worker says which reply is followed by another one.
    if (name === STREAM_HEADER) return
    if (Array.isArray(value)) {
      this.#note(
        `The handler set the response header ${shown(name)} to a list. A header has one value, which is text.`,
      )
      return
    }
    try {
      this.#responseHeaders.set(String(name), String(value))
    } catch {
      this.#note(
        `The handler set the response header ${shown(name)} to a value that has no text. The name and the value of a header are text.`,
      )
    }
  }

  getResponseHeader(name: string): string | undefined {
    return this.#responseHeaders.get(name)
  }

  getResponseHeaders(): WireHeader[] {
    return [...this.#responseHeaders]
  }

  #headerInAnyCase(name: string): string | undefined {
    return this.#request.headers.findLast(([header]) => header.toLowerCase() === name)?.[1]
  }

  #note(text: string): void {
    this.#mistake ??= new TypeError(text)
  }
}

/**
 * The context of one batch. Each batch gets a new one, so that code that runs on after its batch
 * cannot change the response of another client.
 */
export class HandlerContext implements PublicContext {
  readonly modelName: string
  readonly manifest: unknown
  readonly systemProperties: SystemProperties
  /** Request ids by position in the batch. */
  readonly requestIds: Readonly<Record<number, string>>
  readonly requestProcessor: readonly RequestProcessor[]
  readonly metrics: Metrics
  readonly server: HandlerServer
  readonly PredictionException = PredictionException
  readonly #model: OnnxModel | undefined

  constructor(facts: ModelFacts, requests: readonly WireRequest[]) {
    this.#model = facts.model
    this.modelName = facts.modelName
    this.manifest = facts.manifest
    this.systemProperties = facts.systemProperties
    const ids = requests.map(({ id }) => id)
    this.requestIds = Object.fromEntries(ids.entries())
    this.requestProcessor = requests.map((request) => new RequestProcessor(request))
    this.metrics = new Metrics(facts.modelName, ids)
    const { calls } = facts
    this.server = {
      predict: async (model, data, options = {}) => {
        if (calls !== undefined)
          return calls.predict(this.getRequestId(options.index), model, data, options)
        throw new PredictionException('This server cannot be called by its handlers.', 501)
      },
    }
  }

  /** The ONNX model of the folder. @throws Error if it has none. */
  get model(): OnnxModel {
    if (this.#model !== undefined) return this.#model
    throw new Error(
      'There is no context.model: the folder has no model.onnx, or model.json has "handlerModel": false. With several .onnx files, name one as "model" in model.json.',
    )
  }

  getRequestId(index = 0): string {
    return this.requestIds[index] ?? ''
  }

  /** A header with exactly this name, as in MMS, otherwise one in another spelling. */
  getRequestHeader(index: number, name: string): RequestProperty | undefined {
    return this.#processor(index).getRequestProperty(name)
  }

  getAllRequestHeader(index: number): Record<string, RequestProperty> {
    return this.#processor(index).getRequestProperties()
  }

  /** Aborted when the client of a streamed response has left. */
  getSignal(index = 0): AbortSignal {
    return this.#processor(index).signal
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
    throw new Error(
      `the batch has ${this.requestProcessor.length} requests, so there is no request ${index}`,
    )
  }
}

/**
 * The object has no prototype, so that a header named `__proto__` is read like any other header.
 */
function readProperties(request: WireRequest): Record<string, RequestProperty> {
  const properties: Record<string, RequestProperty> = {}
  Object.setPrototypeOf(properties, null)
  for (const { name, contentType } of request.parameters) {
    properties[name] = { 'content-type': contentType }
  }
  for (const [name, value] of request.headers) properties[name] = value
  return properties
}

/** A value that a handler passed, for a message. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, MAX_SHOWN))
  try {
    return String(value).slice(0, MAX_SHOWN)
  } catch {
    return 'a value without a text'
  }
}
