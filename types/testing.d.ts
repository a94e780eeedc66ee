/** Runs a model and its handler in the process of a test, without a server. See docs/handlers.md. */
import type { CallOptions, OnnxModel } from './handler.d.ts'

export interface LoadOptions {
  /** As in a registration; default: the handler of the files. */
  readonly handler?: string
  /** Default: the name of the folder. */
  readonly name?: string
  /** Maximum number of requests in a batch, which the handler sees. Default: 1. */
  readonly batchSize?: number
  /** Threads of one operator. Default: 1. */
  readonly threads?: number
  /** The models that `context.server.predict` reaches, by name. */
  readonly models?: Readonly<Record<string, OtherModel>>
}

/**
 * A model that a handler calls: a loaded model, or a function in its place. What the function
 * returns is the result of the call; what it throws is its error.
 */
export type OtherModel = TestModel | ((data: unknown, options: CallOptions) => unknown)

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** Content type of the body. Default: JSON for an object, text for a string, none for bytes. */
  readonly contentType?: string
  /** Fields of a form, or of the query. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** The route: `/predictions` (default), `/v1` or `/v2`. */
  readonly protocol?: 'predictions' | 'v1' | 'v2'
}

/** A request of {@link TestModel.predictBatch}. */
export interface TestRequest extends RequestOptions {
  readonly body?: unknown
}

/** A loaded model. */
export interface TestModel {
  /**
   * Sends a request and returns what a client would get. The body is an object for JSON, a string
   * or bytes.
   */
  predict(body?: unknown, options?: RequestOptions): Promise<Response>
  /** Sends requests as one batch. */
  predictBatch(requests: readonly TestRequest[]): Promise<Response[]>
  /** What `GET /models/{model}` shows as metadata. */
  describe(): Promise<unknown>
  /** Frees the model. */
  close(): Promise<void>
}

/**
 * Loads the model of a folder or an `.onnx` file. Of a folder with numbered versions, the highest
 * one is loaded.
 * @throws Error with the reason that the server would show.
 */
export function loadModel(path: string | URL, options?: LoadOptions): Promise<TestModel>

export type { OnnxModel }
