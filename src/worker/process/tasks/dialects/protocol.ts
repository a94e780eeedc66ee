/**
 * Texts over the Open Inference Protocol: inputs of the datatype BYTES, and the results of the task
 * as outputs. Requests with the tensors of the model go to the codec of the model.
 */
import type { WireHeader, WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { Decoded, OwnRuns, RequestCodec } from '../../onnx/codec.ts'
import type { RequestHeaders } from '../../onnx/headers.ts'
import type { NamedModel, NamedTransport } from '../../onnx/oip/named-tensors.ts'
import { tokensHeader } from '../requests/text-body.ts'
import { readRequest } from '../requests/text-request.ts'
import type { TaskName } from '../text-folder.ts'
import type { TextTask } from '../text-task.ts'
import { TEXT_INPUTS, fieldsOfTensors, tensorsOfResult } from './tensors.ts'

/** Tasks whose lists differ in length from text to text. */
const RAGGED: readonly TaskName[] = [
  'token-classification',
  'sparse-embedding',
  'question-answering',
]
/** Parameters of the protocol and its clients; all others are for the task. */
const FOR_THE_SERVER = [
  'binary_data_output',
  'priority',
  'timeout',
  'sequence_id',
  'sequence_start',
  'sequence_end',
]

/** What {@link TextProtocolCodec} needs to know of the model. */
export interface ProtocolModel extends NamedModel {
  readonly task: TaskName
}

export class TextProtocolCodec implements RequestCodec<Decoded | OwnRuns> {
  readonly #task: TextTask
  readonly #model: ProtocolModel
  readonly #transport: NamedTransport
  readonly #tensors: RequestCodec
  readonly #hasTexts: boolean

  /** @param tensors The codec for the tensors of the model. */
  constructor(
    task: TextTask,
    model: ProtocolModel,
    transport: NamedTransport,
    tensors: RequestCodec,
  ) {
    this.#task = task
    this.#model = model
    this.#transport = transport
    this.#tensors = tensors
    this.#hasTexts = model.metadata.inputs.some(({ datatype }) => datatype === 'BYTES')
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded | OwnRuns | Promise<Decoded> {
    const isText = !this.#hasTexts && this.#transport.hasTexts(request, headers)
    if (!isText) return this.#tensors.decode(request, headers)
    const { task } = this.#model
    const opened = this.#transport.open(request, headers, TEXT_INPUTS, this.#model)
    const parameters = [...opened.parameters].filter(([name]) => !FOR_THE_SERVER.includes(name))
    const fields = fieldsOfTensors(opened.inputs, Object.fromEntries(parameters))
    return {
      id: request.id,
      dialect: headers.dialect,
      perform: async (run): Promise<WirePrediction> => {
        const asked = readRequest(fields, {})
        const result = await this.#task.answer(asked, run)
        const { preferred, all } = tensorsOfResult(result, RAGGED.includes(task))
        const outputs = opened.outputNames.length > 0 ? all : preferred
        const tokens: readonly WireHeader[] = tokensHeader(asked.parameters.work)
        return opened.respond(outputs, tokens)
      },
    }
  }
}
