/** The plan of a rollout, as a request sends it, and the record that a restart restores. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'
import { fits, problemWith, stringEnum } from '../../schema.ts'
import { RoutingSchema } from '../routing/routing.ts'
import { MODEL_NAME_PATTERN } from '../sources/model-name.ts'

const WEEK_SECONDS = 7 * 24 * 3600
const MAX_STEPS = 20
const MAX_EVENTS = 100
const Name = Type.String({ pattern: MODEL_NAME_PATTERN.source })
const Count = Type.Integer({ minimum: 0 })

const MEMBERS = {
  to: Type.String({
    pattern: MODEL_NAME_PATTERN.source,
    description: 'The new version, or a label of it.',
  }),
  steps: Type.Array(Type.Integer({ minimum: 1, maximum: 100 }), {
    minItems: 1,
    maxItems: MAX_STEPS,
    description:
      'Shares of the requests in percent that the new version gets, one after the other. The first one must be below 100. Default: 1, 5, 25, 100.',
  }),
  hold: Type.Number({
    minimum: 0,
    maximum: WEEK_SECONDS,
    description: 'Minimum duration of a step in seconds. Default: 60.',
  }),
  max_error_rate: Type.Number({
    minimum: 0.0001,
    maximum: 1,
    description:
      'By how much the share of failed requests of the new version may exceed that of the present one. Default: 0.01.',
  }),
  max_p99_ratio: Type.Number({
    minimum: 0,
    maximum: 1000,
    description:
      'Limit for the 99th percentile of the response times, as a multiple of that of the present version: 1 or more, or 0 to not compare times. Default: 2.',
  }),
  min_agreement: Type.Number({
    minimum: 0,
    maximum: 0.9999,
    description:
      'Minimum share of responses that agree with the present version, as shadow traffic compares them. Without it, responses are not compared.',
  }),
}

/** The body of a request for a rollout. */
export const RolloutRequestSchema = Type.Object(
  {
    to: MEMBERS.to,
    steps: Type.Optional(MEMBERS.steps),
    hold: Type.Optional(MEMBERS.hold),
    max_error_rate: Type.Optional(MEMBERS.max_error_rate),
    max_p99_ratio: Type.Optional(MEMBERS.max_p99_ratio),
    min_agreement: Type.Optional(MEMBERS.min_agreement),
  },
  { additionalProperties: false, $id: 'RolloutRequest' },
)

/** A request with all defaults. */
export const RolloutPlanSchema = Type.Object(
  { ...MEMBERS, min_agreement: Type.Optional(MEMBERS.min_agreement) },
  { additionalProperties: false },
)
export type RolloutPlan = Static<typeof RolloutPlanSchema>

export const ROLLOUT_STATES = ['running', 'paused', 'promoted', 'rolled_back', 'aborted'] as const
export type RolloutState = (typeof ROLLOUT_STATES)[number]

/** One event of a rollout. */
export const RolloutEventSchema = Type.Object(
  {
    at: Type.String({ maxLength: 40, description: 'Time in ISO 8601.' }),
    event: stringEnum(['started', 'step', 'resumed', ...ROLLOUT_STATES.slice(1)], {
      description: 'What happened.',
    }),
    share: Type.Integer({
      minimum: 0,
      maximum: 100,
      description: 'Share from then on, in percent.',
    }),
    reason: Type.String({ maxLength: 1000 }),
  },
  { additionalProperties: false },
)
export type RolloutEvent = Static<typeof RolloutEventSchema>

/**
 * Counts of the present version in the step before. They are used in a step in which it gets no
 * request.
 */
export const BaselineSchema = Type.Object(
  {
    requests: Count,
    errors: Count,
    timed: Count,
    slow: Count,
    p99_ms: Type.Optional(Type.Number({ minimum: 0 })),
  },
  { additionalProperties: false },
)
export type Baseline = Static<typeof BaselineSchema>

/** A rollout as it is stored. */
export const RolloutRecordSchema = Type.Object(
  {
    plan: RolloutPlanSchema,
    from: Type.Array(Name, {
      minItems: 1,
      maxItems: 100,
      description: 'The present versions: those that get requests without the rollout.',
    }),
    before: Type.Optional(RoutingSchema),
    state: stringEnum(ROLLOUT_STATES),
    step: Type.Integer({ minimum: 0, maximum: MAX_STEPS - 1 }),
    baseline: Type.Optional(BaselineSchema),
    events: Type.Array(RolloutEventSchema, { minItems: 1, maxItems: MAX_EVENTS }),
  },
  { additionalProperties: false },
)
export type RolloutRecord = Static<typeof RolloutRecordSchema>

const DEFAULTS = { steps: [1, 5, 25, 100], hold: 60, max_error_rate: 0.01, max_p99_ratio: 2 }

/**
 * Checks a request from outside and adds the defaults.
 * @throws ServerError 400.
 */
export function checkPlan(value: unknown): RolloutPlan {
  if (!fits(RolloutRequestSchema, value))
    throw badPlan(`The rollout is not valid: ${problemWith(RolloutRequestSchema, value) ?? ''}.`)
  const plan = { ...DEFAULTS, ...value }
  const { steps, max_p99_ratio: ratio } = plan
  if (ratio > 0 && ratio < 1) throw badPlan(`max_p99_ratio must be 0, or 1 or more, not ${ratio}.`)
  if (steps.some((share, index) => share <= (steps[index - 1] ?? 0)))
    throw badPlan(`Each step must be larger than the one before, not ${steps.join(', ')}.`)
  if (steps[0] === 100)
    throw badPlan('The first step must be below 100, so that the versions can be compared.')
  return plan
}

/** Adds an event. The oldest ones after the start are dropped if there are too many. */
export function withEvent(events: readonly RolloutEvent[], event: RolloutEvent): RolloutEvent[] {
  const kept = events.length < MAX_EVENTS ? events : [...events.slice(0, 1), ...events.slice(2)]
  return [...kept, { ...event, reason: event.reason.slice(0, 1000) }]
}

function badPlan(message: string): ServerError {
  return new ServerError('BadRequestException', message)
}
