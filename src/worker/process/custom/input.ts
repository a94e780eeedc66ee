/** A request as a model's own code gets it (MMS worker protocol, section 2.2). */
import type { WireParameter, WireRequest } from '../../wire/messages.ts'
import type { WorkerOptions } from '../handler.ts'
import { parseJson, parseText } from './json-input.ts'

/** Values by parameter name; the last of several with one name wins. No prototype, so that any name is safe. */
export type HandlerInput = Record<string, unknown>

export interface InputSettings extends Pick<WorkerOptions, 'maxJsonBytes' | 'maxJsonDepth'> {
  /** JSON and text values are decoded, everything else is bytes; off, everything is bytes. */
  readonly decodeInput: boolean
}

const JSON_TYPE = 'application/json'
const TEXT_PREFIX = 'text'

/** @throws ServerError when a value is not what its content type says. */
export function readParameters(request: WireRequest, settings: InputSettings): HandlerInput {
  const input: HandlerInput = {}
  Object.setPrototypeOf(input, null)
  for (const parameter of request.parameters) {
    input[parameter.name] = readValue(parameter, settings)
  }
  return input
}

/** Both comparisons are exact, as the original's. */
function readValue(parameter: WireParameter, settings: InputSettings): unknown {
  const { contentType, value } = parameter
  if (!settings.decodeInput) return value
  if (contentType === JSON_TYPE) return parseJson(value, settings)
  return contentType.startsWith(TEXT_PREFIX) ? parseText(value) : value
}
