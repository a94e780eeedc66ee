/** A rollout as the API shows it. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../../schema.ts'
import { CRITERIA } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import { ROLLOUT_STATES, RolloutEventSchema, RolloutPlanSchema } from './plan.ts'
import type { RolloutRecord } from './plan.ts'
import { isActive, shareOfStep } from './rollout.ts'
import type { RunningStep } from './running-step.ts'

const Counts = Type.Object({
  requests: Type.Integer({ description: 'Requests with a response in this step.' }),
  errors: Type.Integer({ description: 'Those with a status of 400 or more.' }),
})

const EvidenceSchema = Type.Object({
  criterion: stringEnum(CRITERIA),
  value: Type.Number({ description: 'Measured share of requests.' }),
  lower: Type.Number({ description: 'The version is rolled back if this is above the limit.' }),
  upper: Type.Number({ description: 'The criterion passes if this is not above `passing`.' }),
  limit: Type.Number(),
  passing: Type.Number({ description: 'The limit, or a little more.' }),
  requests: Type.Integer({ description: 'Observations of the new version.' }),
  verdict: stringEnum(['good', 'bad', 'open']),
})

export const RolloutSchema = Type.Object(
  {
    state: stringEnum(ROLLOUT_STATES),
    ...RolloutPlanSchema.properties,
    from: Type.Array(Type.String(), { description: 'The present versions.' }),
    step: Type.Integer({ description: 'Number of the step, from 1.' }),
    share: Type.Integer({ description: 'Share of the new version in percent.' }),
    reason: Type.String({ description: 'Why the rollout is in this state.' }),
    waiting_for: Type.Optional(
      Type.String({ description: 'Why the step has not ended, while the rollout runs.' }),
    ),
    held_seconds: Type.Optional(
      Type.Number({ description: 'Duration of the step since it, or the server, started.' }),
    ),
    p99_ms: Type.Optional(
      Type.Number({ description: 'The 99th percentile of the present version.' }),
    ),
    next: Type.Optional(Counts),
    present: Type.Optional(Counts),
    evidence: Type.Optional(Type.Array(EvidenceSchema)),
    history: Type.Array(RolloutEventSchema, { description: 'Events, the oldest first.' }),
  },
  { additionalProperties: false, $id: 'Rollout' },
)
export type ShownRollout = Static<typeof RolloutSchema>

/** The last look at a running step. */
export interface LastLook {
  readonly step: RunningStep
  readonly evidence: readonly Evidence[]
  readonly waitingFor: string
}

/** @param last Absent when the rollout has ended, or before the first look. */
export function showRollout(record: RolloutRecord, last: LastLook | undefined): ShownRollout {
  const { plan, from, state, step, events } = record
  const shown = {
    state,
    ...plan,
    from,
    step: step + 1,
    share: shareOfStep(record),
    reason: events.at(-1)?.reason ?? '',
    history: events,
  }
  if (last === undefined || !isActive(record)) return shown
  const { p99 } = last.step
  return {
    ...shown,
    waiting_for: last.waitingFor,
    held_seconds: Math.floor(last.step.heldMs / 1000),
    ...(p99 !== undefined && { p99_ms: Number(p99.toPrecision(3)) }),
    ...last.step.counts,
    evidence: last.evidence.map((one) => ({ ...one })),
  }
}
