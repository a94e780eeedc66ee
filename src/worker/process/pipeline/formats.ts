/** The JSON of requests to a pipeline and to its steps: that of `/predictions`, or of `/v2`. */
import { ServerError } from '../../../errors.ts'

/** Values by name: the JSON of a tensor, in the form of the protocol. */
export type Values = ReadonlyMap<string, unknown>

/** How requests and responses are written. */
export interface PipelineFormat {
  /** Protocol of the calls of the steps. */
  readonly protocol: '' | 'v2'
  /** @throws ServerError `BadRequestException` if the body has not this form. */
  readInputs(body: unknown): Values
  /** The body for a step. `outputs` are the names that are wanted. */
  writeInputs(inputs: Values, outputs: readonly string[]): unknown
  /** @throws ServerError if the response of a step has not this form. */
  readOutputs(response: unknown): Values
  /** The response of the pipeline; `body` is its request. */
  writeOutputs(outputs: Values, body: unknown, model: ModelIdentity): unknown
}

/** Name and version, as the response shows them. */
export interface ModelIdentity {
  readonly name: string
  readonly version: string
}

/** An object with one member for each input or output. */
export const PREDICTIONS: PipelineFormat = {
  protocol: '',
  readInputs(body) {
    if (isObject(body)) return new Map(Object.entries(body))
    throw badRequest('A request to a pipeline is a JSON object with one member for each input.')
  },
  writeInputs: (inputs) => Object.fromEntries(inputs),
  readOutputs(response) {
    if (isObject(response)) return new Map(Object.entries(response))
    throw wrongResponse('its response is not a JSON object with one member for each output')
  },
  writeOutputs: (outputs) => Object.fromEntries(outputs),
}

/** The Open Inference Protocol, without binary data. */
export const OPEN_INFERENCE: PipelineFormat = {
  protocol: 'v2',
  readInputs(body) {
    const tensors = isObject(body) ? tensorsIn(body['inputs']) : undefined
    if (tensors !== undefined) return tensors
    throw badRequest('"inputs" must be a list of tensors with names.')
  },
  writeInputs: (inputs, outputs) => ({
    inputs: named(inputs),
    outputs: outputs.map((name) => ({ name })),
  }),
  readOutputs(response) {
    const tensors = isObject(response) ? tensorsIn(response['outputs']) : undefined
    if (tensors !== undefined) return tensors
    throw wrongResponse('its response has no list of outputs')
  },
  writeOutputs: (outputs, body, { name, version }) => ({
    model_name: name,
    model_version: version,
    ...(isObject(body) && typeof body['id'] === 'string' && { id: body['id'] }),
    outputs: named(outputs),
  }),
}

/** Returns `undefined` if a tensor has no name, or the name of another one. */
function tensorsIn(list: unknown): Values | undefined {
  if (!Array.isArray(list)) return undefined
  const tensors = new Map<string, unknown>()
  for (const tensor of list as unknown[]) {
    const name = isObject(tensor) ? tensor['name'] : undefined
    if (typeof name !== 'string' || tensors.has(name)) return undefined
    tensors.set(name, tensor)
  }
  return tensors
}

/** Tensors under the names that they have now. */
function named(tensors: Values): unknown[] {
  return [...tensors].map(([name, tensor]) => ({ ...(isObject(tensor) ? tensor : {}), name }))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function badRequest(text: string): ServerError {
  return new ServerError('BadRequestException', text)
}

function wrongResponse(text: string): ServerError {
  return new ServerError('InternalServerException', text)
}
