/**
 * Texts over the Open Inference Protocol: inputs of the datatype BYTES, and the results of the task
 * as outputs. Requests with the tensors of the model go to the codec of the model.
 */
import type { WireHeader, WirePrediction, WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../../onnx/codec.ts'
import type { CodecLimits, Decoded, OwnRuns, RequestCodec } from '../../onnx/codec.ts'
import type { RequestHeaders } from '../../onnx/headers.ts'
import { openNamedTensors } from '../../onnx/oip/named-tensors.ts'
import type { ModelMetadata } from '../../onnx/tensors/metadata.ts'
import { tokensHeader } from '../text-body.ts'
import type { TaskName } from '../text-folder.ts'
import { readRequest } from '../text-request.ts'
import type { TextTask } from '../text-task.ts'
import { TEXT_INPUTS, fieldsOfTensors, tensorsOfResult } from './tensors.ts'

const BYTES_WORD = Buffer.from('"BYTES"')
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
export interface ProtocolModel {
  readonly task: TaskName
  readonly metadata: ModelMetadata
  readonly limits: CodecLimits
}

export class TextProtocolCodec implements RequestCodec<Decoded | OwnRuns> {
  readonly #task: TextTask
  readonly #model: ProtocolModel
  readonly #tensors: RequestCodec
  readonly #hasTexts: boolean

  /** @param tensors The codec for the tensors of the model. */
  constructor(task: TextTask, model: ProtocolModel, tensors: RequestCodec) {
    this.#task = task
    this.#model = model
    this.#tensors = tensors
    this.#hasTexts = model.metadata.inputs.some(({ datatype }) => datatype === 'BYTES')
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded | OwnRuns | Promise<Decoded> {
    const body = request.parameters.find(({ name }) => name === BODY)?.value
    const json = headers.jsonLength === undefined ? body : body?.subarray(0, +headers.jsonLength)
    const isText = !this.#hasTexts && json?.includes(BYTES_WORD) === true
    if (!isText) return this.#tensors.decode(request, headers)
    const { metadata, limits, task } = this.#model
    const opened = openNamedTensors(request, headers, TEXT_INPUTS, metadata, limits)
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
