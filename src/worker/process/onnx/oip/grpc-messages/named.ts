/** As `named-tensors.ts`, for requests over gRPC. */
import { prediction } from '../../prediction.ts'
import { InputTable } from '../../tensors/inputs.ts'
import { chooseNamed, namedInputs } from '../named-tensors.ts'
import type { NamedTransport } from '../named-tensors.ts'
import { finalFlagOf, inputsOf, messageOf } from './codec.ts'
import { WANTS_FINAL_RESPONSE } from './request.ts'
import { writeMessageResponse } from './response.ts'

/** Requests over gRPC. */
export const GRPC_TRANSPORT: NamedTransport = {
  hasTexts: (request) => messageOf(request).inputs.some(({ datatype }) => datatype === 'BYTES'),
  open: (request, _headers, specs, { metadata, limits }) => {
    const message = messageOf(request)
    const { inputs, outputs: wanted, parameters, id } = message
    const tensors = inputsOf(message, new InputTable(specs))
    return {
      inputs: namedInputs(
        inputs.map(({ name }) => name),
        tensors,
      ),
      parameters: new Map([...parameters].filter(([name]) => name !== WANTS_FINAL_RESPONSE)),
      outputNames: wanted.map(({ name }) => name),
      respond: (outputs, headers) => {
        const chosen = chooseNamed(outputs, wanted, true)
        const answer = { id, forms: chosen.forms, flag: finalFlagOf(parameters) }
        const { maxResponseBytes } = limits
        const body = writeMessageResponse(metadata, answer, chosen.tensors, maxResponseBytes)
        return prediction(request.id, 200, 'application/grpc', body, headers)
      },
    }
  },
}
