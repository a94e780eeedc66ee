/** Counts what the copies of one shadow version have shown. */
import type { Comparison, OutputComparison, OutputKind } from '../../comparison/compare.ts'
import { Distribution, LATENCY_BOUNDS } from '../metrics/counts.ts'
import { CrashingRequests } from './crashing-requests.ts'
import type { LatencyReport, OutputReport, SkipReason, WorstRequest } from './report.ts'

const DIFFERENCE_BOUNDS = [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1] as const
/** Outputs that are counted by name. A response may have a member for each of many keys. */
const MAX_OUTPUTS = 100
const OTHERS = 'other outputs'
const MAX_NAME = 120
const WORST = 10
const LATENCIES = 1000

/** How a copy ended. */
export interface CopyEnd {
  /** Absent if there was no response, for example because the worker died. */
  readonly comparison?: Comparison | undefined
  /** Milliseconds of the version that served, and of the shadow; absent without a response. */
  readonly times?: { readonly reference: number; readonly shadow: number } | undefined
  /** The request, if it is among the worst. */
  readonly worst?: WorstRequest | undefined
}

/** A copy that was left out, or has ended. */
export type ShadowEvent = CopyEnd | { readonly skipped: SkipReason }

interface OutputCounts {
  kind: OutputKind
  agreed: number
  largest: number
  readonly differences: Distribution
}

/** Not reset while the shadow version stays the same. */
export class ShadowCounts {
  readonly since = new Date()
  readonly skipped: Record<SkipReason, number> = {
    busy: 0,
    not_ready: 0,
    memory: 0,
    too_large: 0,
    unsupported: 0,
    crashing: 0,
  }
  readonly crashing = new CrashingRequests()
  copied = 0
  failed = 0
  compared = 0
  agreed = 0
  identical = 0
  readonly seconds = {
    reference: new Distribution(LATENCY_BOUNDS),
    shadow: new Distribution(LATENCY_BOUNDS),
  }
  readonly #latencies = { reference: new LastValues(), shadow: new LastValues() }
  readonly #outputs = new Map<string, OutputCounts>()
  #worst: WorstRequest[] = []

  get running(): number {
    return this.copied - this.failed - this.compared
  }

  /** A request was not copied. */
  skip(reason: SkipReason, count = 1): void {
    this.skipped[reason] += count
  }

  /** A copy that `copied` counts has ended. */
  end({ comparison, times, worst }: CopyEnd): void {
    if (times !== undefined) this.#recordTimes(times.reference, times.shadow)
    if (comparison === undefined) this.failed += 1
    else this.#recordComparison(comparison)
    if (worst !== undefined) this.#recordWorst(worst)
  }

  #recordComparison(comparison: Comparison): void {
    this.compared += 1
    if (comparison.agrees) this.agreed += 1
    if (comparison.kind === 'identical') this.identical += 1
    for (const output of comparison.outputs) this.#recordOutput(output)
  }

  #recordTimes(referenceMs: number, shadowMs: number): void {
    this.seconds.reference.observe(referenceMs / 1000)
    this.seconds.shadow.observe(shadowMs / 1000)
    this.#latencies.reference.add(referenceMs)
    this.#latencies.shadow.add(shadowMs)
  }

  /** Whether {@link end} would keep a request among the worst. */
  isAmongWorst(request: Pick<WorstRequest, 'agrees' | 'difference'>): boolean {
    const last = this.#worst.at(-1)
    if (request.agrees && request.difference === 0) return false
    return this.#worst.length < WORST || (last !== undefined && isWorse(request, last))
  }

  #recordWorst(request: WorstRequest): void {
    const place = this.#worst.findIndex((other) => isWorse(request, other))
    this.#worst.splice(place < 0 ? this.#worst.length : place, 0, request)
    this.#worst = this.#worst.slice(0, WORST)
  }

  /** Forgets the inputs of the worst requests. */
  dropInputs(): void {
    this.#worst = this.#worst.map((one) => ({ ...one, input: undefined }))
  }

  get worst(): readonly WorstRequest[] {
    return this.#worst
  }

  get latencyMs(): { readonly reference: LatencyReport; readonly shadow: LatencyReport } {
    const { reference, shadow } = this.#latencies
    return { reference: reference.report, shadow: shadow.report }
  }

  get outputs(): readonly OutputReport[] {
    return [...this.#outputs].map(([name, { kind, agreed, largest, differences }]) => {
      const { cumulative } = differences
      return {
        name,
        kind,
        compared: differences.count,
        agreed,
        differences: DIFFERENCE_BOUNDS.map((upTo, index) => ({
          upTo,
          count: (cumulative[index] ?? 0) - (cumulative[index - 1] ?? 0),
        })),
        largest,
      }
    })
  }

  #recordOutput({ name: given, kind, agrees, difference }: OutputComparison): void {
    const short = given.slice(0, MAX_NAME)
    const isNew = !this.#outputs.has(short) && this.#outputs.size >= MAX_OUTPUTS
    const name = isNew ? OTHERS : short
    const counts = this.#outputs.get(name) ?? {
      kind,
      agreed: 0,
      largest: 0,
      differences: new Distribution(DIFFERENCE_BOUNDS),
    }
    this.#outputs.set(name, counts)
    counts.kind = kind
    counts.agreed += Number(agrees)
    counts.largest = Math.max(counts.largest, difference)
    counts.differences.observe(difference)
  }
}

function isWorse(
  one: Pick<WorstRequest, 'agrees' | 'difference'>,
  other: Pick<WorstRequest, 'agrees' | 'difference'>,
): boolean {
  if (one.agrees !== other.agrees) return !one.agrees
  return one.difference > other.difference
}

/** The last values of a series. */
class LastValues {
  readonly #values: number[] = []
  #count = 0

  add(value: number): void {
    this.#values[this.#count % LATENCIES] = value
    this.#count += 1
  }

  get report(): LatencyReport {
    const sorted = this.#values.toSorted((one, other) => one - other)
    const at = (quantile: number): number => {
      const value = sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))]
      return Math.round((value ?? 0) * 1000) / 1000
    }
    return { count: this.#count, p50: at(0.5), p90: at(0.9), p99: at(0.99) }
  }
}
