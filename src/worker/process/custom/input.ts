/** Reads a request into the input of a custom handler. See `docs/worker-protocol.md`. */
import type { WireParameter, WireRequest } from '../../wire/messages.ts'
import type { WorkerOptions } from '../handler.ts'
import { asUtf8 } from '../onnx/utf8-body.ts'
import { parseJson, parseText } from './json-input.ts'

/**
 * Values by parameter name. If a name occurs several times, the last value wins. The object has no
 * prototype, so that any name is safe.
 */
export type HandlerInput = Record<string, unknown>

export interface InputSettings extends Pick<WorkerOptions, 'maxJsonBytes' | 'maxJsonDepth'> {
  /** True: JSON and text values are decoded, all others are bytes. False: all values are bytes. */
  readonly decodeInput: boolean
}

const JSON_TYPE = 'application/json'
const TEXT_PREFIX = 'text'

/** @throws ServerError when a value does not match its content type. */
export function readParameters(request: WireRequest, settings: InputSettings): HandlerInput {
  const input: HandlerInput = {}
  Object.setPrototypeOf(input, null)
  const { parameters } = settings.decodeInput ? asUtf8(request) : request
  for (const parameter of parameters) {
    input[parameter.name] = readValue(parameter, settings)
  }
  return input
}

/** Both comparisons are exact, as in MMS. */
function readValue(parameter: WireParameter, settings: InputSettings): unknown {
  const { contentType, value } = parameter
  if (!settings.decodeInput) return value
  if (contentType === JSON_TYPE) return parseJson(value, settings)
  return contentType.startsWith(TEXT_PREFIX) ? parseText(value) : value
}
