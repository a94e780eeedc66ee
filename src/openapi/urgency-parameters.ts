/** The request headers by which a request says how urgent it is, in every dialect of inference. */
import { MAX_PRIORITY_LEVELS } from '../model-folder/settings.ts'
import type { Parameter } from './types.ts'

/** Longer numbers are refused. */
export const MAX_TIMEOUT_MS = 1e15 - 1

/** @param priorityLevels Of the model; 1 where priorities have no effect. */
export function urgencyParameters(priorityLevels: number): readonly Parameter[] {
  const maximum = priorityLevels === 1 ? MAX_PRIORITY_LEVELS : priorityLevels
  return [
    { ...PRIORITY, schema: { type: 'integer', minimum: 0, maximum } },
    { ...TIMEOUT, schema: { type: 'integer', minimum: 0, maximum: MAX_TIMEOUT_MS } },
  ]
}

const PRIORITY = {
  name: 'Onnxd-Priority',
  in: 'header',
  required: false,
  description:
    'Level of priority, 1 for the highest; 0 for the default. Without effect where the model has one level.',
} as const

const TIMEOUT = {
  name: 'Onnxd-Timeout-Ms',
  in: 'header',
  required: false,
  description:
    'Milliseconds within which a worker must take the request, else it is refused with 503; 0 for the limit of the server.',
} as const

/** For routes that serve any model. */
export const URGENCY_PARAMETERS = urgencyParameters(1)
