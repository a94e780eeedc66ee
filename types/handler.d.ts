/**
 * Types for handlers, and the base class `OnnxHandler`. See docs/handlers.md.
 *
 *     import { OnnxHandler } from 'onnxd/handler'
 *     import type { HandlerContext, RequestData } from 'onnxd/handler'
 */

/** The array of each tensor type. The names are those of onnxruntime. */
export interface TensorDataOf {
  float32: Float32Array
  float64: Float64Array
  /** The bits of each number. */
  float16: Uint16Array
  int8: Int8Array
  int16: Int16Array
  int32: Int32Array
  int64: BigInt64Array
  uint8: Uint8Array
  uint16: Uint16Array
  uint32: Uint32Array
  uint64: BigUint64Array
  /** 0 or 1. */
  bool: Uint8Array
  string: string[]
}

export type TensorType = keyof TensorDataOf

/** A plain object. A `Tensor` of onnxruntime is one too. */
export interface Tensor<
  Type extends TensorType = TensorType,
  Dims extends readonly number[] = readonly number[],
> {
  readonly type: Type
  readonly dims: Dims
  /** The elements in row-major order. */
  readonly data: TensorDataOf[Type]
}

/** Tensors by the names of the inputs or outputs. */
export type Tensors = Readonly<Record<string, Tensor>>

/** Creates a tensor. Its type keeps the sizes of `dims`. */
export function tensor<const Type extends TensorType, const Dims extends readonly number[]>(
  type: Type,
  data: TensorDataOf[Type],
  dims: Dims,
): Tensor<Type, Dims>

/** An input or output of the model. */
export interface TensorInfo {
  readonly name: string
  readonly type: TensorType
  /** A name stands for a variable dimension; it is empty if the model gives none. */
  readonly shape: readonly (number | string)[]
}

/** A text, or a pair of texts. */
export type Text = string | { readonly text: string; readonly text_pair?: string }

/**
 * The ONNX model of the folder, loaded once with all settings of `model.json` and the server.
 * `onnxd types` writes the type of a model.
 */
export interface OnnxModel<
  Inputs extends object = Tensors,
  Outputs extends object = Tensors,
  Label extends string = string,
> {
  readonly inputs: readonly TensorInfo[]
  readonly outputs: readonly TensorInfo[]
  /** The class labels, in the order of the classes; empty if there are none. */
  readonly labels: readonly Label[]
  /** Runs the model. @throws TypeError for inputs that the model does not take. */
  run(inputs: Inputs): Promise<Outputs>
  /** Computes some of the outputs only. */
  run<Name extends keyof Outputs>(
    inputs: Inputs,
    outputs: readonly Name[],
  ): Promise<Pick<Outputs, Name>>
  /** Turns texts into inputs with the `tokenizer.json` of the folder. */
  tokenize(texts: Text | readonly Text[], options?: TokenizeOptions): Promise<Inputs>
  /** Decodes image files and prepares them as the key `image` of `model.json` says. */
  prepareImages(images: Uint8Array | readonly Uint8Array[]): Promise<Inputs>
  /**
   * As `prepareImages`. Also says where each image lies in the input, so that a handler can map
   * coordinates of the outputs, such as boxes, to the image.
   */
  placeImages(images: Uint8Array | readonly Uint8Array[]): Promise<PlacedImages<Inputs>>
  /** Reads a table: CSV, JSON, JSON lines, NumPy archives and Parquet, by the content type. */
  readTable(body: Uint8Array | string, contentType?: string): Promise<Inputs>
}

/** The result of `placeImages`. */
export interface PlacedImages<Inputs = Tensors> {
  readonly inputs: Inputs
  /** One place for each image, in their order. */
  readonly places: readonly ImagePlace[]
}

/**
 * Where an image lies in the input of the model. A point `[x, y]` of the input, in pixels from its
 * left top corner, is the point `[x * scale[0] + offset[0], y * scale[1] + offset[1]]` of the image.
 * The point may lie outside of the image, where the input is padded.
 */
export interface ImagePlace {
  /** Pixels of the image, upright: after its EXIF orientation was applied. */
  readonly width: number
  readonly height: number
  /** Pixels of the image for each pixel of the input, across and down. */
  readonly scale: readonly [x: number, y: number]
  /** The left top corner of the input, in pixels of the image. */
  readonly offset: readonly [x: number, y: number]
}

export interface TokenizeOptions {
  /** Whether a text that is too long is cut; otherwise it is rejected with 413. */
  readonly truncate?: boolean
}

/** One element of `data`: a request. */
export interface RequestData {
  /** A request without a form: decoded JSON, a string, or a `Buffer`. */
  readonly body?: unknown
  /** Fields of a form, and parameters of the query. */
  readonly [name: string]: unknown
}

/** The text of a header, or the content type of the parameter with that name. */
export type RequestProperty = string | { readonly 'content-type': string }

/** The headers of one request, and the status and headers of its response. */
export interface RequestProcessor {
  getRequestProperty(name: string): RequestProperty | undefined
  getRequestProperties(): Record<string, RequestProperty>
  reportStatus(code?: number | null, phrase?: string | number | null): void
  getResponseStatusCode(): number
  getResponseStatusPhrase(): string
  addResponseProperty(name: unknown, value: unknown): void
  getResponseHeader(name: string): string | undefined
}

/** Names and values of dimensions of a metric. */
export type Dimensions = Readonly<Record<string, unknown>>

/** The metrics of one batch; `index` is the position of a request in it. */
export interface Metrics {
  addCounter(name: string, value: number, index?: number | null, dimensions?: Dimensions): void
  addTime(
    name: string,
    value: number,
    index?: number | null,
    unit?: string,
    dimensions?: Dimensions,
  ): void
  addSize(
    name: string,
    value: number,
    index?: number | null,
    unit?: string,
    dimensions?: Dimensions,
  ): void
  addPercent(name: string, value: number, index?: number | null, dimensions?: Dimensions): void
  addError(name: string, value: string): void
}

/** Thrown by a handler to choose the status and the text of an error. */
export class PredictionException extends Error {
  /** @param code From 400 on; default 500. */
  constructor(message: string, code?: number)
  readonly code: number
}

export interface SystemProperties {
  readonly modelDir: string
  /** Device index, `null` for CPU. */
  readonly gpuId: number | null
  readonly batchSize: number
  readonly serverName: string
  readonly serverVersion: string
}

/** How another model is called. */
export interface CallOptions {
  /** Version or label; default: as the weights of the model choose. */
  readonly version?: string
  /** Further request headers. */
  readonly headers?: Readonly<Record<string, string>>
  /** Send a body of `/v1` or `/v2` (JSON) in place of one of `/predictions`. */
  readonly protocol?: 'v1' | 'v2'
  /** Default: that of JSON, of text for a string, or `application/octet-stream` for bytes. */
  readonly contentType?: string
  /** Position of the request in the batch whose deadline, id and trace the call has; default 0. */
  readonly index?: number
}

/**
 * What another model takes and returns. Nothing checks at runtime that the model does.
 * @typeParam Data The body of a request: a value for JSON, a string, or bytes.
 * @typeParam Result Decoded JSON, a string for text, or a `Buffer`.
 */
export interface ModelCall<Data = unknown, Result = unknown> {
  readonly data: Data
  readonly result: Result
}

/** Models by name, with what they take and return. By default any model takes anything. */
export type ModelCalls = Readonly<Record<string, ModelCall>>

/**
 * The server that runs the handler.
 * @typeParam Calls The models that the handler calls:
 * `{ iris: ModelCall<{ features: number[][] }, { label: string[] }> }`.
 */
export interface HandlerServer<
  Calls extends Readonly<Record<keyof Calls, ModelCall>> = ModelCalls,
> {
  /**
   * Sends `data` to another model. Returns decoded JSON, a string for text, else bytes.
   * @throws PredictionException with the status of an error.
   */
  predict<Name extends keyof Calls & string>(
    model: Name,
    data: Calls[Name]['data'],
    options?: CallOptions,
  ): Promise<Calls[Name]['result']>
}

/**
 * The context of one batch.
 * @typeParam Model The ONNX model of the folder, as `onnxd types` writes it.
 * @typeParam Calls The models that the handler calls, see {@link HandlerServer}.
 */
export interface HandlerContext<
  Model = OnnxModel,
  Calls extends Readonly<Record<keyof Calls, ModelCall>> = ModelCalls,
> {
  readonly modelName: string
  /** Content of `MAR-INF/MANIFEST.json`, or `null`. */
  readonly manifest: unknown
  readonly systemProperties: SystemProperties
  /** The ONNX model. @throws Error if the folder has none. */
  readonly model: Model
  readonly requestIds: Readonly<Record<number, string>>
  readonly requestProcessor: readonly RequestProcessor[]
  readonly metrics: Metrics
  /** Calls other models of the server. */
  readonly server: HandlerServer<Calls>
  readonly PredictionException: typeof PredictionException
  getRequestId(index?: number): string
  getRequestHeader(index: number, name: string): RequestProperty | undefined
  getAllRequestHeader(index: number): Record<string, RequestProperty>
  /** Aborted when the client of a streamed response has left. */
  getSignal(index?: number): AbortSignal
  setResponseContentType(index: number, value: unknown): void
  setResponseHeader(index: number, name: unknown, value: unknown): void
  setResponseStatus(code?: number | null, phrase?: string | number | null, index?: number): void
  setAllResponseStatus(code?: number | null, phrase?: string | number | null): void
}

/** A request to an {@link OnnxHandler}. */
export interface HandlerRequest<Inputs = Tensors, Outputs = Tensors> {
  readonly id: string
  /** `predictions` for the routes of MMS and TorchServe, else for example `v1`, `v2` or `grpc`. */
  readonly protocol: string
  /** Header values by name, in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** As `data` of a handler function: the body, or the fields of a form. */
  readonly data: RequestData
  /** The body: decoded JSON, a string, or a `Buffer`; `undefined` for a form. */
  readonly body: unknown
  /** The inputs of the model, as the built-in handler reads them from the request. */
  tensors(): Promise<Inputs>
  /** The same request with another body; `preprocess` may return it. */
  withBody(body: unknown, contentType?: string): HandlerRequest<Inputs, Outputs>
  /** The response of the built-in handler. */
  respond(outputs: Outputs): Promise<HandlerResponse>
}

/** A response of the built-in handler; `postprocess` may return it. */
export interface HandlerResponse {
  readonly status: number
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** The body as JSON. */
  json(): unknown
}

/** The inputs of a model. */
export type InputsOf<Model> =
  Model extends OnnxModel<infer Inputs, infer _Outputs, infer _Label> ? Inputs : never

/** The outputs of a model. */
export type OutputsOf<Model> =
  Model extends OnnxModel<infer _Inputs, infer Outputs, infer _Label> ? Outputs : never

/**
 * The built-in handler as a class, whose steps can be overridden one by one. Each step gets one
 * request; an error fails this request only.
 */
export class OnnxHandler<
  Model = OnnxModel,
  Calls extends Readonly<Record<keyof Calls, ModelCall>> = ModelCalls,
> {
  /** Called once, after the model is loaded. */
  initialize(context: HandlerContext<Model, Calls>): void | Promise<void>
  /** Returns the inputs of the model, or a request that the built-in handler reads. */
  preprocess(
    request: HandlerRequest<InputsOf<Model>, OutputsOf<Model>>,
    context: HandlerContext<Model, Calls>,
  ): Preprocessed<Model> | Promise<Preprocessed<Model>>
  /** Runs the model. Without an own `infer`, the requests of a batch share runs. */
  infer(
    inputs: InputsOf<Model>,
    request: HandlerRequest<InputsOf<Model>, OutputsOf<Model>>,
    context: HandlerContext<Model, Calls>,
  ): OutputsOf<Model> | Promise<OutputsOf<Model>>
  /** Returns the body of the response: bytes, text, or a value for JSON. */
  postprocess(
    outputs: OutputsOf<Model>,
    request: HandlerRequest<InputsOf<Model>, OutputsOf<Model>>,
    context: HandlerContext<Model, Calls>,
  ): unknown
}

export type Preprocessed<Model> =
  | InputsOf<Model>
  | HandlerRequest<InputsOf<Model>, OutputsOf<Model>>
