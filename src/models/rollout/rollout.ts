/** The states of a rollout, and the changes between them, without a clock and side effects. */
import { isDeepStrictEqual } from 'node:util'
import { ServerError } from '../../errors.ts'
import { versionOfLabel } from '../routing/routing.ts'
import type { Routing } from '../routing/routing.ts'
import type { Evidence } from './evidence.ts'
import { withEvent } from './plan.ts'
import type { Baseline, RolloutEvent, RolloutPlan, RolloutRecord } from './plan.ts'

/** The routing schema allows no larger weight. */
const MAX_WEIGHT = 1_000_000

/** What to do after a look at the evidence. */
export type Decision =
  | { readonly kind: 'wait'; readonly reason: string }
  | { readonly kind: 'forward' | 'back'; readonly reason: string }

/** A state in which a rollout has ended. */
export type EndState = 'promoted' | 'rolled_back' | 'aborted'

/** Begins a rollout. @param at Time in ISO 8601. */
export function beginRollout(
  plan: RolloutPlan,
  from: readonly string[],
  before: Routing | undefined,
  at: string,
): RolloutRecord {
  const reason = `${percent((plan.steps[0] ?? 0) / 100)} of the requests go to version ${plan.to}`
  const events: RolloutEvent[] = [{ at, event: 'started', share: plan.steps[0] ?? 0, reason }]
  return {
    plan,
    from: [...from],
    ...(before !== undefined && { before }),
    state: 'running',
    step: 0,
    events,
  }
}

/** Whether it has not ended. */
export function isActive({ state }: Pick<RolloutRecord, 'state'>): boolean {
  return state === 'running' || state === 'paused'
}

/**
 * For changes by hand.
 * @param version Refuses only changes of this version.
 * @throws ServerError 409 while the rollout of the model runs.
 */
export function refuseDuring(
  record: RolloutRecord | undefined,
  model: string,
  version?: string,
): void {
  if (record === undefined || !isActive(record)) return
  const { plan, from, state } = record
  if (version !== undefined && version !== plan.to && !from.includes(version)) return
  throw new ServerError(
    'ConflictStatusException',
    `Model ${model} has a rollout to version ${plan.to} that is ${state}. Wait for its end, or abort it with DELETE /models/${model}/rollout.`,
  )
}

/** The present share of the new version in percent. */
export function shareOfStep({ plan, step, state }: RolloutRecord): number {
  if (state === 'promoted') return 100
  return isActive({ state }) ? (plan.steps[step] ?? 0) : 0
}

/**
 * Decides from the evidence of a step. A paused rollout does not go on, but a bad version is rolled
 * back.
 * @param heldMs How long the step has lasted.
 */
export function decide(
  { plan, state, from }: RolloutRecord,
  evidence: readonly Evidence[],
  heldMs: number,
): Decision {
  const bad = evidence.find(({ verdict }) => verdict === 'bad')
  if (bad !== undefined) return { kind: 'back', reason: badText(bad, plan, from) }
  if (state === 'paused') return { kind: 'wait', reason: 'it is paused' }
  const open = evidence.filter(({ verdict }) => verdict === 'open')
  if (open.length > 0) return { kind: 'wait', reason: openText(open) }
  const leftMs = plan.hold * 1000 - heldMs
  if (leftMs > 0)
    return { kind: 'wait', reason: `the step lasts ${Math.ceil(leftMs / 1000)} s more` }
  return { kind: 'forward', reason: goodText(evidence) }
}

/** Goes to the next step, or promotes after the last one. */
export function advance(
  record: RolloutRecord,
  baseline: Baseline,
  reason: string,
  at: string,
): RolloutRecord {
  const { plan, step } = record
  const share = plan.steps[step + 1]
  if (share === undefined) return end(record, 'promoted', reason, at)
  const events = withEvent(record.events, { at, event: 'step', share, reason })
  return { ...record, step: step + 1, baseline, events }
}

/** Ends a rollout. */
export function end(
  record: RolloutRecord,
  state: EndState,
  reason: string,
  at: string,
): RolloutRecord {
  const share = state === 'promoted' ? 100 : 0
  return { ...record, state, events: withEvent(record.events, { at, event: state, share, reason }) }
}

/** Pauses or resumes. */
export function pause(record: RolloutRecord, isPaused: boolean, at: string): RolloutRecord {
  const state = isPaused ? 'paused' : 'running'
  if (record.state === state) return record
  const event = isPaused ? 'paused' : 'resumed'
  const entry = { at, event, share: shareOfStep(record), reason: 'a request asked for it' } as const
  return { ...record, state, events: withEvent(record.events, entry) }
}

/**
 * The routing of a model in this state of its rollout: the routing before it with the share of the
 * new version, the same without weights after a promotion, else the routing before it.
 */
export function routingOf(record: RolloutRecord): Routing | undefined {
  const { before, plan, state } = record
  if (state === 'promoted') {
    const labels = before?.labels ?? {}
    return Object.keys(labels).length === 0 ? undefined : { labels }
  }
  if (!isActive(record)) return before
  const { labels, sticky } = before ?? {}
  return {
    ...(labels !== undefined && { labels }),
    weights: weightsOf(record, shareOfStep(record), plan.to),
    ...(sticky !== undefined && { sticky }),
  }
}

/** Whether two routings are equal. A reload of the versions may have added an empty list. */
export function isSameRouting(one: Routing | undefined, other: Routing | undefined): boolean {
  return isDeepStrictEqual({ labels: {}, ...one }, { labels: {}, ...other })
}

/** Labels and versions that get requests without the rollout, with their weights. */
export function presentWeights(
  before: Routing | undefined,
  to: string,
  defaultVersion: string,
): Record<string, number> {
  const weights = Object.entries(before?.weights ?? { [defaultVersion]: 1 })
  const others = weights.filter(
    ([name, weight]) => weight > 0 && (versionOfLabel(before ?? {}, name) ?? name) !== to,
  )
  return Object.fromEntries(others)
}

/** Divides the rest among the present versions as before. */
function weightsOf(
  { before, from }: RolloutRecord,
  share: number,
  to: string,
): Record<string, number> {
  if (share === 100) return { [to]: 1 }
  const present = presentWeights(before, to, from[0] ?? '')
  const sum = Object.values(present).reduce((total, weight) => total + weight, 0)
  const largest = Math.max(sum * share, ...Object.values(present).map((one) => one * (100 - share)))
  const scale = Math.min(1, MAX_WEIGHT / largest)
  const scaled = (weight: number): number => Math.max(1, Math.round(weight * scale))
  const weights: Record<string, number> = { [to]: scaled(sum * share) }
  for (const [name, weight] of Object.entries(present))
    weights[name] = scaled(weight * (100 - share))
  return weights
}

const WHAT = {
  errors: 'the share of failed requests',
  latency: 'the share of slow requests',
  agreement: 'the share of responses that do not agree',
} as const

function badText(
  { criterion, lower, limit, requests }: Evidence,
  { to, max_p99_ratio: ratio }: RolloutPlan,
  from: readonly string[],
): string {
  const present = from.length === 1 ? `version ${from[0] ?? ''}` : `versions ${from.join(', ')}`
  const of = `of ${requests} ${criterion === 'agreement' ? 'responses' : 'requests'} of version ${to}`
  if (criterion === 'errors')
    return `errors: ${of}, at least ${percent(lower)} more fail than of ${present}; the limit is ${percent(limit)}`
  if (criterion === 'latency')
    return `latency: ${of}, at least ${percent(lower)} take more than ${ratio} times the 99th percentile of ${present}; the limit is ${percent(limit)}`
  return `agreement: ${of}, at least ${percent(lower)} do not agree with ${present}; the limit is ${percent(limit)}`
}

function openText(open: readonly Evidence[]): string {
  return open
    .map(({ criterion, upper, passing, requests }) =>
      requests === 0
        ? `${WHAT[criterion]} is not known yet`
        : `${WHAT[criterion]} may be up to ${percent(upper)} after ${requests}, and passes at ${percent(passing)}`,
    )
    .join('; ')
}

function goodText(evidence: readonly Evidence[]): string {
  return evidence
    .map(
      ({ criterion, upper, requests }) => `${criterion} at most ${percent(upper)} of ${requests}`,
    )
    .join(', ')
}

/** A share with two digits: `1.7 %`. */
function percent(share: number): string {
  return `${Number((Math.max(0, share) * 100).toPrecision(2))} %`
}
