/**
 * The Open Inference Protocol over gRPC: the request and the response are messages of protocol
 * buffers. The front-end relays both unchanged.
 */
import { ServerError } from '../../../../../errors.ts'
import type { WirePrediction, WireRequest } from '../../../../wire/messages.ts'
import { BODY } from '../../codec.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../../codec.ts'
import { prediction } from '../../prediction.ts'
import { countText, quote, specText } from '../../tensors/error-text.ts'
import { InputSet, InputTable } from '../../tensors/inputs.ts'
import type { ModelMetadata } from '../../tensors/metadata.ts'
import { OutputTable } from '../../tensors/outputs.ts'
import { fitDeclaredShape } from '../../tensors/shape.ts'
import type { Tensor } from '../../tensors/tensor.ts'
import { tensorFromBinary } from '../binary-request.ts'
import { classify, rowsHeader } from '../call-parts.ts'
import { allOutputs, formOfOutput } from '../output-form.ts'
import type { OutputForm } from '../output-form.ts'
import type { Parameters } from '../request.ts'
import { tensorFromContents } from './contents.ts'
import { FINAL_RESPONSE, WANTS_FINAL_RESPONSE, readMessageRequest } from './request.ts'
import type { MessageInput, MessageRequest } from './request.ts'
import { writeMessageResponse } from './response.ts'
import type { MessageAnswer } from './response.ts'

const NO_BODY = Buffer.alloc(0)

/** Decodes requests in the dialect `grpc`. */
export class MessageCodec implements RequestCodec {
  readonly #model: ModelMetadata
  readonly #limits: CodecLimits
  readonly #inputs: InputTable
  readonly #outputs: OutputTable
  readonly #all: readonly OutputForm[]

  constructor(model: ModelMetadata, limits: CodecLimits) {
    this.#model = model
    this.#limits = limits
    this.#inputs = new InputTable(model.inputs)
    this.#outputs = new OutputTable(model.outputs)
    this.#all = allOutputs(model.outputs, true)
  }

  decode(request: WireRequest): Decoded {
    return this.open(request.id, messageOf(request))
  }

  /** As {@link decode}, for a message that is already read. */
  open(id: string, message: MessageRequest): Decoded {
    const { outputs, parameters } = message
    const tensors = inputsOf(message, this.#inputs)
    return new MessageCall(
      id,
      tensors.complete(),
      {
        id: message.id,
        forms: outputs.length === 0 ? this.#all : this.#formsOf(outputs),
        flag: finalFlagOf(parameters),
      },
      this.#model,
      this.#limits.maxResponseBytes,
    )
  }

  #formsOf(outputs: MessageRequest['outputs']): readonly OutputForm[] {
    this.#outputs.choose(outputs)
    return outputs.map((output) => formOfOutput(output, this.#outputs.specOf(output.name)))
  }
}

/** The parameter of the response to a request of Triton's streams. */
export function finalFlagOf(parameters: Parameters): string | undefined {
  return parameters.get(WANTS_FINAL_RESPONSE) === true ? FINAL_RESPONSE : undefined
}

/**
 * The tensors of a message.
 * @param table The inputs that it may have.
 * @throws ServerError 400
 */
export function inputsOf(message: MessageRequest, table: InputTable): InputSet {
  const { inputs, raw } = message
  const tensors = new InputSet(table)
  for (const [index, input] of inputs.entries()) {
    const spec = tensors.claim(input.name)
    if (input.datatype !== spec.datatype) {
      const given = input.datatype === '' ? 'none' : quote(input.datatype)
      throw invalid(`Input ${quote(spec.name)}: expected ${specText(spec)}, got datatype ${given}.`)
    }
    const shape = fitDeclaredShape(spec, input.shape)
    const bytes = rawOf(input, index, message)
    const tensor =
      bytes === undefined
        ? tensorFromContents(spec, input.contents, shape)
        : tensorFromBinary(spec, bytes, shape)
    tensors.add(spec.name, tensor)
  }
  if (raw.length > inputs.length) throw wrongRawCount(message)
  return tensors
}

/** @throws ServerError 400 for a body that is not the message of a request. */
export function messageOf({ parameters }: WireRequest): MessageRequest {
  const body = parameters.find(({ name }) => name === BODY)?.value ?? NO_BODY
  return readMessageRequest(body)
}

/**
 * The raw bytes of an input; `undefined` if the request has none.
 * @throws ServerError 400 unless all inputs have raw bytes, or none.
 */
function rawOf(
  { name, contents }: MessageInput,
  index: number,
  message: MessageRequest,
): Buffer | undefined {
  const { raw } = message
  if (raw.length === 0) return undefined
  if (contents !== undefined) {
    throw invalid(
      `Input ${quote(name)} has "contents", but the request also has "raw_input_contents"; send the elements of all inputs in one of them.`,
    )
  }
  const bytes = raw[index]
  if (bytes === undefined) throw wrongRawCount(message)
  return bytes
}

function wrongRawCount({ raw, inputs }: MessageRequest): ServerError {
  const entries = countText(raw.length, 'entry').replace('entrys', 'entries')
  const count = countText(inputs.length, 'input')
  return invalid(
    `"raw_input_contents" has ${entries}, but the request has ${count}; send one entry for each input.`,
  )
}

class MessageCall implements Decoded {
  readonly dialect = 'grpc'
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #answer: MessageAnswer
  readonly #model: ModelMetadata
  readonly #maxBytes: number

  constructor(
    id: string,
    inputs: readonly Tensor[],
    answer: MessageAnswer,
    model: ModelMetadata,
    maxBytes: number,
  ) {
    this.id = id
    this.inputs = inputs
    this.outputNames = answer.forms.map(({ name }) => name)
    this.#answer = answer
    this.#model = model
    this.#maxBytes = maxBytes
  }

  encode(results: readonly Tensor[]): WirePrediction {
    const outputs = classify(results, this.#answer.forms, this.#model)
    const body = writeMessageResponse(this.#model, this.#answer, outputs, this.#maxBytes)
    return prediction(this.id, 200, 'application/grpc', body, rowsHeader(this.#model, this.inputs))
  }
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
