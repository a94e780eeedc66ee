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

/**
 * Returns when a worker may take a request that comes now, and whether others may share its batch.
 * @param job The other options of its job.
 * @throws ServerError `BadRequestException` for a level that does not exist.
 */
export function jobOptionsOf(
  options: PredictOptions,
  settings: EffectiveSettings,
  { chain, statuses }: Pick<JobOptions, 'chain' | 'statuses'>,
): JobOptions {
  // Without a spread: in Node 20, an object that gets members after one has a hidden class of its
  // own, which took a tenth of the front-end's time for a small request.
  return {
    level: levelOf(options, settings),
    deadline: deadlineOf(options),
    isAlone: options.explains === true,
    chain,
    statuses,
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
