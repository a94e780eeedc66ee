/** Request headers for priority and timeout. Every REST dialect of inference accepts them. */
import { MAX_PRIORITY_LEVELS } from '../model-folder/version-settings.ts'
import type { Parameter } from './types.ts'

/** Requests with a longer number of milliseconds are rejected. */
export const MAX_TIMEOUT_MS = 1e15 - 1

/** @param priorityLevels Levels of the model; 1 means that priorities have no effect. */
export function priorityParameters(priorityLevels: number): readonly Parameter[] {
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
    'Priority of the request: 1 is served first, 0 means the default of the model. Without effect if the model has one priority level.',
} as const

const TIMEOUT = {
  name: 'Onnxd-Timeout-Ms',
  in: 'header',
  required: false,
  description:
    'Deadline in milliseconds: if no worker is available until then, the request fails with 503. 0 means the limit of the server.',
} as const

/** For routes that serve any model. */
export const PRIORITY_PARAMETERS = priorityParameters(1)
