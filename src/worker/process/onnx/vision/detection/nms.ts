/** Chooses the best of many overlapping boxes. */

const { fround } = Math

/** A box of a detector: corners in pixels of the model's input, x1 < x2 and y1 < y2. */
export interface ScoredBox {
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number]
  readonly score: number
  readonly classIndex: number
}

/** Settings of the suppression. */
export interface SuppressionRules {
  /** Two boxes that overlap more than this cannot both be chosen. */
  readonly iou: number
  /** Whether only boxes of the same class suppress each other. */
  readonly perClass: boolean
  readonly maxDetections: number
}

/** Maximum number of candidates of one image. Those with the lowest scores are dropped. */
export const MAX_CANDIDATES = 30_000

/**
 * Keeps the numbers of the candidates with the highest scores, in bounded memory. Of equal scores,
 * the candidate that was added first comes first.
 */
export class Shortlist {
  readonly #limit: number
  #numbers: number[] = []
  #scores: number[] = []
  #floor: number

  /** @param threshold Candidates must have a score above it. */
  constructor(threshold: number, limit = MAX_CANDIDATES) {
    this.#floor = threshold
    this.#limit = limit
  }

  /** Adds a candidate. Numbers must increase. A score that is not finite as FP32 is ignored. */
  add(number: number, score: number): void {
    if (!(score > this.#floor) || fround(score) === Infinity) return
    this.#numbers.push(number)
    this.#scores.push(score)
    if (this.#numbers.length >= 2 * this.#limit) this.#cut()
  }

  /** The candidates, the best first. */
  sorted(): readonly { readonly number: number; readonly score: number }[] {
    this.#cut()
    return this.#numbers
      .map((number, place) => ({ number, score: this.#scores[place] ?? 0 }))
      .toSorted((a, b) => b.score - a.score || a.number - b.number)
  }

  /** Drops the lowest scores in linear time, apart from a sort of numbers, which is fast. */
  #cut(): void {
    if (this.#scores.length <= this.#limit) return
    const ordered = Float64Array.from(this.#scores).toSorted()
    const first = ordered.length - this.#limit
    const lowest = ordered[first] ?? 0
    // A later candidate with this score would come last, and the list is full.
    this.#floor = lowest
    let room = this.#limit - (ordered.length - ordered.lastIndexOf(lowest) - 1)
    const isKept = this.#scores.map((score) => score > lowest || (score === lowest && room-- > 0))
    this.#numbers = this.#numbers.filter((_, place) => isKept[place])
    this.#scores = this.#scores.filter((_, place) => isKept[place])
  }
}

/**
 * Non-maximum suppression as in torchvision: goes through the boxes, which are sorted by score, and
 * chooses each one that does not overlap a chosen box by more than `iou`.
 */
export function suppress(
  sorted: Iterable<ScoredBox>,
  { iou, perClass, maxDetections }: SuppressionRules,
): readonly ScoredBox[] {
  const chosen: ScoredBox[] = []
  for (const candidate of sorted) {
    const isSuppressed = chosen.some(
      (better) =>
        (!perClass || better.classIndex === candidate.classIndex) &&
        overlap(better, candidate) > iou,
    )
    if (isSuppressed) continue
    chosen.push(candidate)
    if (chosen.length === maxDetections) break
  }
  return chosen
}

/**
 * Intersection over union of two boxes, from 0 to 1. It is rounded to FP32 as in torchvision, so
 * that a limit is met by the same boxes.
 */
export function overlap({ box: a }: ScoredBox, { box: b }: ScoredBox): number {
  const width = fround(Math.min(a[2], b[2]) - Math.max(a[0], b[0]))
  const height = fround(Math.min(a[3], b[3]) - Math.max(a[1], b[1]))
  if (!(width > 0 && height > 0)) return 0
  const common = fround(width * height)
  const union = fround(fround(areaOf(a) + areaOf(b)) - common)
  return fround(common / union)
}

function areaOf([x1, y1, x2, y2]: ScoredBox['box']): number {
  return fround(fround(x2 - x1) * fround(y2 - y1))
}
