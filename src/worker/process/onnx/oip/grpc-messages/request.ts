/** Reads a `ModelInferRequest`, the request of the Open Inference Protocol over gRPC. */
import { ServerError } from '../../../../../errors.ts'
import { MessageReader } from '../../../../../formats/proto-message.ts'
import { quote } from '../../tensors/error-text.ts'
import { MAX_MEMBERS, MAX_RANK, checkParameterName } from '../request.ts'
import type { Parameters, ProtocolOutput } from '../request.ts'

/** One input. Nothing in it is checked against the model. */
export interface MessageInput {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly parameters: Parameters
  /** The message with its elements (`InferTensorContents`); absent if they are raw bytes. */
  readonly contents: MessageReader | undefined
}

export interface MessageRequest {
  /** As the client sent it; empty when it is missing. */
  readonly id: Buffer
  readonly parameters: Parameters
  readonly inputs: readonly MessageInput[]
  /** An empty list means all outputs. */
  readonly outputs: readonly ProtocolOutput[]
  /** `raw_input_contents`: views of the elements of each input; empty if inputs have `contents`. */
  readonly raw: readonly Buffer[]
}

/** The parameter with which Triton's client asks for {@link FINAL_RESPONSE}. */
export const WANTS_FINAL_RESPONSE = 'triton_enable_empty_final_response'
/** The parameter of a response after which no other one follows. */
export const FINAL_RESPONSE = 'triton_final_response'

/** Maximum number of elements that are fields of their own, as strings are. */
const MAX_ELEMENTS = 2 ** 24
const NO_BYTES = Buffer.alloc(0)
const NO_PARAMETERS: Parameters = new Map()

/** Field numbers of `ModelInferRequest`. */
const REQUEST = { id: 3, parameters: 4, inputs: 5, outputs: 6, raw: 7 } as const
/** Field numbers of `InferInputTensor`, and of `InferRequestedOutputTensor`. */
const INPUT = { name: 1, datatype: 2, shape: 3, parameters: 4, contents: 5 } as const
const OUTPUT = { name: 1, parameters: 2 } as const
/** Field numbers of an entry of a map, and of `InferParameter`. */
const ENTRY = { key: 1, value: 2 } as const
const PARAMETER = { flag: 1, int64: 2, text: 3, double: 4, uint64: 5 } as const

/** @throws ServerError 400 for bytes that are no such message. */
export function readMessageRequest(bytes: Buffer): MessageRequest {
  const message = new MessageReader(bytes)
  let id = NO_BYTES
  const parameters = new Map<string, string | number | boolean>()
  const inputs: MessageInput[] = []
  const outputs: ProtocolOutput[] = []
  const raw: Buffer[] = []
  while (message.next()) {
    if (message.number === REQUEST.raw) raw.push(message.view())
    else if (message.number === REQUEST.inputs) inputs.push(readInput(message.message()))
    else if (message.number === REQUEST.outputs) outputs.push(readOutput(message.message()))
    else if (message.number === REQUEST.parameters) readEntry(message.message(), parameters)
    else if (message.number === REQUEST.id) id = Buffer.from(message.text())
  }
  return { id, parameters, inputs, outputs, raw }
}

function readInput(message: MessageReader): MessageInput {
  let [name, datatype] = ['', '']
  const shape: number[] = []
  let parameters = NO_PARAMETERS
  let contents: MessageReader | undefined
  while (message.next()) {
    if (message.number === INPUT.name) name = message.text()
    else if (message.number === INPUT.datatype) datatype = message.text()
    else if (message.number === INPUT.shape) addDimensions(message, shape)
    else if (message.number === INPUT.parameters) parameters = withEntry(message, parameters)
    else if (message.number === INPUT.contents) {
      if (contents !== undefined) throw invalid(`Input ${quote(name)} has "contents" twice.`)
      contents = message.message(MAX_ELEMENTS)
    }
  }
  return { name, datatype, shape, parameters, contents }
}

function addDimensions(message: MessageReader, shape: number[]): void {
  for (const dimension of message.integers(MAX_RANK)) {
    if (dimension < 0n || dimension > Number.MAX_SAFE_INTEGER || shape.length === MAX_RANK) {
      throw invalid(
        `The shape of an input must be a list of at most ${MAX_RANK} integers, each 0 or more, not ${dimension}.`,
      )
    }
    shape.push(Number(dimension))
  }
}

function readOutput(message: MessageReader): ProtocolOutput {
  let name = ''
  let parameters = NO_PARAMETERS
  while (message.next()) {
    if (message.number === OUTPUT.name) name = message.text()
    else if (message.number === OUTPUT.parameters) parameters = withEntry(message, parameters)
  }
  return { name, parameters }
}

function withEntry(message: MessageReader, parameters: Parameters): Parameters {
  const all = new Map(parameters)
  readEntry(message.message(), all)
  return all
}

/** Reads one entry of a map of parameters. Of equal names the last one counts. */
function readEntry(entry: MessageReader, into: Map<string, string | number | boolean>): void {
  let name = ''
  let value: string | number | boolean | undefined
  while (entry.next()) {
    if (entry.number === ENTRY.key) name = entry.text()
    else if (entry.number === ENTRY.value) value = readParameter(entry.message())
  }
  if (name !== WANTS_FINAL_RESPONSE) checkParameterName(name)
  if (value === undefined) return
  if (into.size === MAX_MEMBERS && !into.has(name))
    throw invalid(`The request has more than ${MAX_MEMBERS} parameters in one place.`)
  into.set(name, value)
}

function readParameter(message: MessageReader): string | number | boolean | undefined {
  let value: string | number | boolean | undefined
  while (message.next()) {
    if (message.number === PARAMETER.flag) value = message.flag()
    else if (message.number === PARAMETER.int64) value = Number(message.integer())
    else if (message.number === PARAMETER.uint64)
      value = Number(BigInt.asUintN(64, message.integer()))
    else if (message.number === PARAMETER.text) value = message.text()
    else if (message.number === PARAMETER.double) value = message.double()
  }
  return value
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
