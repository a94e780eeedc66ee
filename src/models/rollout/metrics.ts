/** Metrics of rollouts, as data for the page of all metrics. */
import { ROLLOUT_STATES } from './plan.ts'
import type { ShownRollout } from './shown-rollout.ts'

/** The rollout of a model. */
export interface ObservedRollout {
  readonly name: string
  readonly rollout: Pick<ShownRollout, 'state' | 'to' | 'share' | 'evidence'>
}

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

/** A family of gauges, and its series for one rollout. */
export interface RolloutFamily {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly samplesOf: (one: ObservedRollout) => readonly Sample[]
}

const LABELS = ['model', 'version']
const PERCENT = 100

/** The label `version` is the new version. */
export const ROLLOUT_FAMILIES: readonly RolloutFamily[] = [
  {
    name: 'onnxd_rollout_state',
    help: '1 for the state of the rollout that runs, or of the last one.',
    labelNames: [...LABELS, 'state'],
    samplesOf: (one) =>
      ROLLOUT_STATES.map((state): Sample => [
        { ...labelsOf(one), state },
        Number(state === one.rollout.state),
      ]),
  },
  {
    name: 'onnxd_rollout_share',
    help: 'Share of the requests that the rollout gives to the new version, from 0 to 1.',
    labelNames: LABELS,
    samplesOf: (one) => [[labelsOf(one), one.rollout.share / PERCENT]],
  },
  {
    name: 'onnxd_rollout_evidence',
    help: 'Share of requests by criterion: its bounds at the last look, and its limit. A lower bound above the limit ends the rollout.',
    labelNames: [...LABELS, 'criterion', 'bound'],
    samplesOf: (one) =>
      (one.rollout.evidence ?? []).flatMap(({ criterion, lower, upper, limit }) =>
        Object.entries({ lower, upper, limit }).map(([bound, value]): Sample => [
          { ...labelsOf(one), criterion, bound },
          value,
        ]),
      ),
  },
]

function labelsOf({ name, rollout }: ObservedRollout): Labels {
  return { model: name, version: rollout.to }
}
