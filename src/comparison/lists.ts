/** Compares lists of objects that name classes: labels with scores, and detections. */
import { shown } from './comparison.ts'
import type { OutputComparison } from './comparison.ts'
import { allOf, detectionOf, scoredOf } from './list-entries.ts'
import type { Box, Detection, Scored } from './list-entries.ts'
import type { Limits } from './rules.ts'
import { divergenceOf } from './tensors.ts'

/** A list with more pairs is not matched: the time grows with their number. */
const MAX_PAIRS = 1_000_000
const MAX_SCORE_ERROR = 0.1
const SUM_ERROR = 0.01

/**
 * Compares two lists if the rule for detections or for labels applies; otherwise returns
 * `undefined`. Only a list of detections may be empty on one side.
 */
export function compareLists(
  name: string,
  one: readonly unknown[],
  other: readonly unknown[],
  limits: Limits,
): OutputComparison | undefined {
  const found = [one, other].map((list) => allOf(list, detectionOf))
  const [first, second] = found
  if (first !== undefined && second !== undefined && first.length + second.length > 0)
    return first.length * second.length > MAX_PAIRS
      ? undefined
      : compareDetections(name, first, second, limits)
  if (one.length === 0 || other.length === 0) return undefined
  const labels = allOf(one, scoredOf)
  const others = labels && allOf(other, scoredOf)
  if (labels === undefined || others === undefined) return undefined
  // A label that comes twice is not the name of an entry.
  return [labels, others].every(hasUniqueLabels)
    ? compareLabels(name, labels, others, limits)
    : undefined
}

function compareDetections(
  name: string,
  one: readonly Detection[],
  other: readonly Detection[],
  { iou: minIou }: Limits,
): OutputComparison {
  const pairs = pairsOf(one, other, minIou)
  const unmatched = one.length + other.length - 2 * pairs.length
  const iou = pairs.reduce((least, pair) => Math.min(least, pair.iou), 1)
  const scoreError = pairs.reduce((most, pair) => Math.max(most, pair.scoreError), 0)
  const agrees = unmatched === 0 && scoreError <= MAX_SCORE_ERROR
  const share = unmatched / (one.length + other.length)
  const reason =
    unmatched > 0
      ? `${unmatched} of ${one.length} and ${other.length} boxes have no partner with the same label and an IoU of at least ${minIou}`
      : `the score of a box differs by ${scoreError.toPrecision(3)}`
  return {
    name,
    kind: 'detections',
    agrees,
    difference: Math.max(share, 1 - iou, Math.min(1, scoreError)),
    measures: { boxes: one.length, otherBoxes: other.length, unmatched, iou, scoreError },
    ...(!agrees && { reason }),
  }
}

interface BoxPair {
  readonly iou: number
  readonly scoreError: number
}

/** Each box has at most one partner. The pairs that overlap most come first. */
function pairsOf(
  one: readonly Detection[],
  other: readonly Detection[],
  minIou: number,
): readonly BoxPair[] {
  const candidates: (BoxPair & { readonly from: number; readonly to: number })[] = []
  for (const [from, first] of one.entries())
    for (const [to, second] of other.entries()) {
      if (first.label !== second.label) continue
      const iou = iouOf(first.box, second.box)
      const scoreError = Math.abs(first.score - second.score)
      if (iou >= minIou) candidates.push({ iou, scoreError, from, to })
    }
  candidates.sort((a, b) => b.iou - a.iou || a.scoreError - b.scoreError)
  const [used, usedOther] = [new Set<number>(), new Set<number>()]
  return candidates.filter(({ from, to }) => {
    if (used.has(from) || usedOther.has(to)) return false
    used.add(from)
    usedOther.add(to)
    return true
  })
}

function iouOf(one: Box, other: Box): number {
  if (one.every((edge, index) => edge === other[index])) return 1
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0])
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1])
  if (width <= 0 || height <= 0) return 0
  const shared = width * height
  const iou = shared / (areaOf(one) + areaOf(other) - shared)
  return Number.isFinite(iou) ? Math.min(1, iou) : 0
}

function areaOf([left, top, right, bottom]: Box): number {
  return (right - left) * (bottom - top)
}

function compareLabels(
  name: string,
  one: readonly Scored[],
  other: readonly Scored[],
  limits: Limits,
): OutputComparison {
  const [listed, otherListed] = [scoresOf(one), scoresOf(other)]
  const [tops, otherTops] = [listed, otherListed].map((scores) => topsOf(scores, limits)) as [
    ReadonlySet<string>,
    ReadonlySet<string>,
  ]
  const isTopSame = [...tops].some((label) => otherTops.has(label))
  const labels = new Set([...listed.keys(), ...otherListed.keys()])
  const first = completed(listed, otherListed, labels, otherTops)
  const second = completed(otherListed, listed, labels, tops)
  const { value, measure } = scoreDifference(first, second)
  const limit = measure === 'divergence' ? limits.divergence : MAX_SCORE_ERROR
  const agrees = isTopSame && value <= limit
  const reason = isTopSame
    ? `the ${measure} is ${value.toPrecision(3)}, more than ${limit}`
    : `the best label is ${shown(bestOf(other))} instead of ${shown(bestOf(one))}`
  return {
    name,
    kind: 'labels',
    agrees,
    difference: value,
    measures: { labels: labels.size, top1: Number(isTopSame), [measure]: value },
    ...(!agrees && { reason }),
  }
}

type Scores = ReadonlyMap<string, number>

function hasUniqueLabels(list: readonly Scored[]): boolean {
  return new Set(list.map(({ label }) => label)).size === list.length
}

function scoresOf(list: readonly Scored[]): Scores {
  const scores = new Map<string, number>()
  for (const { label, score } of list) scores.set(label, score)
  return scores
}

/** The labels with the highest score, or as good as. */
function topsOf(scores: Scores, { absolute, relative }: Limits): ReadonlySet<string> {
  let top = 0
  for (const score of scores.values()) top = Math.max(top, score)
  const least = top - absolute - relative * top
  return new Set([...scores.keys()].filter((label) => (scores.get(label) ?? 0) >= least))
}

/**
 * The scores of all labels. A list may be cut, so a label that is not in it has the score of the
 * other list, if that is less than all scores in it. The best labels of the other list are missing
 * for another reason.
 */
function completed(
  own: Scores,
  other: Scores,
  labels: ReadonlySet<string>,
  otherTops: ReadonlySet<string>,
): Float64Array {
  let [least, rest] = [1, 1]
  for (const score of own.values()) {
    least = Math.min(least, score)
    rest -= score
  }
  // Scores with a higher sum belong to no distribution.
  const isDistribution = rest >= -SUM_ERROR
  return Float64Array.from(labels, (label) => {
    const score = own.get(label)
    if (score !== undefined) return score
    if (otherTops.has(label)) return 0
    const guess = Math.min(other.get(label) ?? 0, least, isDistribution ? Math.max(0, rest) : 1)
    rest -= guess
    return guess
  })
}

interface ScoreDifference {
  readonly value: number
  readonly measure: 'divergence' | 'scoreError'
}

/** Scores of one distribution have a sum up to 1; the rest belongs to labels that are missing. */
function scoreDifference(one: Float64Array, other: Float64Array): ScoreDifference {
  const [rest, otherRest] = [one, other].map(
    (scores) => 1 - scores.reduce((sum, score) => sum + score, 0),
  ) as [number, number]
  if (rest >= -SUM_ERROR && otherRest >= -SUM_ERROR) {
    const whole = Float64Array.from([...one, Math.max(0, rest)])
    const otherWhole = Float64Array.from([...other, Math.max(0, otherRest)])
    return { value: divergenceOf([whole, otherWhole], 0, whole.length), measure: 'divergence' }
  }
  let value = 0
  for (const [index, score] of one.entries())
    value = Math.max(value, Math.abs(score - (other[index] ?? 0)))
  return { value: Math.min(1, value), measure: 'scoreError' }
}

function bestOf(list: readonly Scored[]): string {
  return list.reduce((best, one) => (one.score > best.score ? one : best), list[0] ?? NO_LABEL)
    .label
}

const NO_LABEL: Scored = { label: '', score: 0 }
