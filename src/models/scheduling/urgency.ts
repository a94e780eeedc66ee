/** What a request says of its own turn. */
import { ServerError } from '../../errors.ts'
import type { EffectiveSettings } from '../effective-settings.ts'

/** Priority and deadline that a request asks for; `undefined` where it says nothing. */
export interface Urgency {
  /** Level of priority, a whole number: 1 for the highest, 0 for the default one. */
  readonly priority?: number | undefined
  /** Milliseconds within which a worker must have taken the request; 0 for no limit of its own. */
  readonly timeoutMs?: number | undefined
}

/** What most requests say. */
export const NO_URGENCY: Urgency = {}

/**
 * The level of a request of a model. A model with one level has no priorities, and what requests say of it is ignored.
 * @throws ServerError `BadRequestException` for a level that there is not.
 */
export function levelOf(
  { priority = 0 }: Urgency,
  { priorityLevels, defaultPriorityLevel }: EffectiveSettings,
): number {
  if (priority === 0 || priorityLevels === 1) return defaultPriorityLevel
  if (priority <= priorityLevels) return priority
  const text = `The priority must be from 1, the highest, to ${priorityLevels}, or 0 for the default level, not ${priority}.`
  throw new ServerError('BadRequestException', text)
}

/** When it is too late for a worker to take a request that comes now, on the clock of `performance.now()`. */
export function deadlineOf({ timeoutMs = 0 }: Urgency): number | undefined {
  return timeoutMs === 0 ? undefined : performance.now() + timeoutMs
}
