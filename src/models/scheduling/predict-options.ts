/** Priority and deadline of a request. */
import { ServerError } from '../../errors.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import type { JobOptions } from './queue/job.ts'

/** Priority and deadline that a request sets, `undefined` if it does not; and its id. */
export interface PredictOptions {
  /** Priority level, an integer: 1 is the highest, 0 the default level. */
  readonly priority?: number | undefined
  /** Milliseconds within which a worker must take the request; 0 for only the server's limit. */
  readonly timeoutMs?: number | undefined
  /** The models that called one another before this one; absent for a request of a client. */
  readonly chain?: readonly string[]
  /** Whether the handler is asked to explain its prediction. Such a request shares no batch. */
  readonly explains?: boolean
  /** Id of the request in the log. */
  readonly requestId?: string | undefined
}

/** A request that sets neither. */
export const NO_OPTIONS: PredictOptions = {}

/** When a worker may take a request, and whether others may share its batch. */
export type Schedule = Required<Pick<JobOptions, 'level' | 'isAlone'>> &
  Pick<JobOptions, 'deadline'>

/**
 * Returns priority level, deadline and batching of a request that comes now.
 * @throws ServerError `BadRequestException` for a level that does not exist.
 */
export function scheduleOf(options: PredictOptions, settings: EffectiveSettings): Schedule {
  return {
    level: levelOf(options, settings),
    deadline: deadlineOf(options),
    isAlone: options.explains === true,
  }
}

/**
 * Returns the priority level of a request. A model with one level ignores the priority of requests.
 * @throws ServerError `BadRequestException` for a level that does not exist.
 */
function levelOf(
  { priority = 0 }: PredictOptions,
  { priorityLevels, defaultPriorityLevel }: EffectiveSettings,
): number {
  if (priority === 0 || priorityLevels === 1) return defaultPriorityLevel
  if (priority <= priorityLevels) return priority
  const text = `The priority must be from 1 (served first) to ${priorityLevels}, or 0 for the default level, not ${priority}.`
  throw new ServerError('BadRequestException', text)
}

/**
 * Returns the latest time at which a worker may take a request that comes now, on the clock of
 * `performance.now()`.
 */
function deadlineOf({ timeoutMs = 0 }: PredictOptions): number | undefined {
  return timeoutMs === 0 ? undefined : performance.now() + timeoutMs
}
