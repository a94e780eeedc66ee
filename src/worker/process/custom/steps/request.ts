/** A request as the steps of an `OnnxHandler` see it. */
import type {
  HandlerRequest,
  HandlerResponse,
  RequestData,
  Tensors,
} from '../../../../../types/handler.d.ts'
import type { WireHeader, WireRequest } from '../../../wire/messages.ts'
import type { WorkerOptions } from '../../handler.ts'
import { BODY } from '../../onnx/codec.ts'
import type { Decoded, OwnRuns } from '../../onnx/codec.ts'
import { isForTensors } from '../../onnx/codecs/codecs.ts'
import { decodeBody } from '../../onnx/content-coding.ts'
import { JSON_LENGTH_HEADER, readHeaders } from '../../onnx/headers.ts'
import type { RequestHeaders } from '../../onnx/headers.ts'
import type { OpenModel } from '../../onnx/open-model.ts'
import { JSON_TYPE } from '../../onnx/prediction.ts'
import { checkRows } from '../../onnx/tensors/shape.ts'
import type { Tensor } from '../../onnx/tensors/tensor.ts'
import { readParameters } from '../input.ts'
import type { BuiltInSteps } from '../onnx-model/built-in-steps.ts'
import { giveTensors, takeTensors } from '../onnx-model/handler-tensors.ts'
import { StepResponse } from './response.ts'

/** What the requests to one model share. */
export interface StepModel {
  readonly open: OpenModel
  readonly steps: BuiltInSteps
  readonly options: WorkerOptions
}

/** Headers about the bytes of a body, which a new body does not have. */
const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-type',
  JSON_LENGTH_HEADER.toLowerCase(),
])

export class StepRequest implements HandlerRequest {
  readonly id: string
  readonly protocol: string
  readonly wire: WireRequest
  readonly requestHeaders: RequestHeaders
  readonly #model: StepModel
  #data: RequestData | undefined
  #decoded: Promise<Decoded | OwnRuns> | undefined
  /** The inputs that `preprocess` returned. */
  #inputs: readonly Tensor[] | undefined

  constructor(wire: WireRequest, model: StepModel) {
    this.id = wire.id
    this.wire = wire
    this.#model = model
    this.requestHeaders = readHeaders(wire.headers)
    this.protocol = this.requestHeaders.dialect ?? 'predictions'
  }

  get headers(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      this.wire.headers.map(([name, value]) => [name.toLowerCase(), value] as const),
    )
  }

  /** @throws ServerError 4xx for a body that does not have its content type. */
  get data(): RequestData {
    return (this.#data ??= readParameters(this.#plain(), {
      ...this.#model.options,
      decodeInput: true,
    }))
  }

  get body(): unknown {
    return this.data.body
  }

  async tensors(): Promise<Tensors> {
    const { inputs } = this.#model.open.metadata
    return giveTensors(
      inputs.map(({ name }) => name),
      await this.readInputs(),
    )
  }

  withBody(body: unknown, contentType?: string): StepRequest {
    const headers = this.wire.headers.filter(([name]) => !BODY_HEADERS.has(name.toLowerCase()))
    const others = this.wire.parameters.filter(({ name }) => name !== BODY)
    const { value, type } = encoded(body)
    const parameter = { name: BODY, contentType: contentType ?? type, value }
    const typed: WireHeader = ['content-type', parameter.contentType]
    const wire = { ...this.wire, headers: [...headers, typed], parameters: [parameter, ...others] }
    return new StepRequest(wire, this.#model)
  }

  async respond(outputs: Tensors): Promise<HandlerResponse> {
    const { outputs: specs } = this.#model.open.metadata
    const answer = await this.#answering()
    const wanted = answer.outputNames.flatMap((name) => specs.filter((spec) => spec.name === name))
    return new StepResponse(await answer.encode(takeTensors('Output', outputs, specs, wanted)))
  }

  /** As {@link respond}, for the outputs of {@link outputNames}. */
  async respondWith(outputs: readonly Tensor[]): Promise<StepResponse> {
    return new StepResponse(await (await this.#answering()).encode(outputs))
  }

  /** Names of the outputs that the built-in response has. */
  async outputNames(): Promise<readonly string[]> {
    return (await this.#answering()).outputNames
  }

  /** The request as the built-in handler reads it. @throws ServerError 4xx */
  decode(): Promise<Decoded | OwnRuns> {
    return (this.#decoded ??= this.#decode())
  }

  /** The inputs for the model. Texts are tokenised. @throws ServerError 4xx */
  async readInputs(): Promise<readonly Tensor[]> {
    const decoded = await this.decode()
    if ('inputs' in decoded) return decoded.inputs
    const texts = await this.#model.steps.texts
    return texts.encodeRequest(this.#plain(), this.#model.options)
  }

  /**
   * Sets the inputs of the run.
   * @throws ServerError 400 when the batch dimension exceeds the limit of the model.
   */
  useInputs(inputs: readonly Tensor[]): void {
    const { metadata } = this.#model.open
    if (metadata.maxBatchSize > 0) checkRows(metadata.inputs, inputs, metadata.maxBatchSize)
    this.#inputs = inputs
  }

  /** Decompressed. */
  #plain(): WireRequest {
    const { maxBodyBytes } = this.#model.options
    return decodeBody(this.wire, this.requestHeaders, maxBodyBytes)
  }

  async #decode(): Promise<Decoded | OwnRuns> {
    const { codecs } = this.#model.open
    const { dialect = 'plain' } = this.requestHeaders
    const codec = codecs[isForTensors(dialect) ? dialect : 'texts']
    return codec.decode(this.#plain(), this.requestHeaders)
  }

  /** Writes the response in the form that the request wants, even if it has no tensors. */
  async #answering(): Promise<Decoded> {
    const { known } = this.#model.open.codecs
    const { dialect = 'plain' } = this.requestHeaders
    // Its response has one entry for each instance of the inputs, which `preprocess` may replace.
    const decoded = dialect === 'v1' ? undefined : await this.decode().catch(() => undefined)
    if (decoded !== undefined && 'encode' in decoded) return decoded
    if (dialect !== 'plain' && dialect !== 'v1' && dialect !== 'v2') {
      throw new TypeError(`A response for ${dialect} needs a request with tensors.`)
    }
    return known[dialect].respond(this.id, this.#inputs ?? [], this.requestHeaders)
  }
}

function encoded(body: unknown): { readonly value: Buffer; readonly type: string } {
  if (body instanceof Uint8Array) {
    const value = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    return { value, type: 'application/octet-stream' }
  }
  if (typeof body === 'string') return { value: Buffer.from(body), type: 'text/plain' }
  const json = JSON.stringify(body)
  if (json === undefined) throw new TypeError('The new body of a request cannot be JSON.')
  return { value: Buffer.from(json), type: JSON_TYPE }
}
