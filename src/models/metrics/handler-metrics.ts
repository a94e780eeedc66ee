import { Distribution } from './counts.ts'
import { HISTOGRAM_SUFFIXES } from './families.ts'
import type { FamilyType, Labels } from './families.ts'
import { readSubject, splitMetricsLine } from './handler-line.ts'
import type { PrintedMetric } from './handler-line.ts'

/**
 * Why a metric is not shown: the line is invalid, the name has another meaning, or a limit is
 * reached.
 */
export type DropReason = 'invalid' | 'conflict' | 'limit'

/** All series of one version with the same name. */
export interface PrintedFamily {
  readonly type: FamilyType
  readonly unit: string
  /** Series by the text of their labels. */
  readonly series: Map<string, PrintedSeries>
}

/** A series: a number or a histogram. */
export interface PrintedSeries {
  readonly type: FamilyType
  readonly labels: Labels
  value: number
  readonly distribution: Distribution | undefined
}

/**
 * The unit of a printed histogram is unknown. Three bounds per decade fit seconds as well as
 * milliseconds.
 */
export const PRINTED_BOUNDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500,
  1000, 2500, 5000, 10_000,
]
/**
 * Series of one histogram: one per bound, one for values above all bounds, the sum, and the count.
 */
const SERIES_OF_HISTOGRAM = PRINTED_BOUNDS.length + 3
const MAX_NAMES = 100
const MAX_SERIES = 1000
/** The same series may be printed with its dimensions in another order. */
const MAX_SUBJECTS = 2 * MAX_SERIES
/** The start of the names of the server's own metrics. */
const OWN_NAMES =
  /^(?:onnxd_|ts_(?:inference|queue)_|process_(?:cpu|max|open|resident|start)_|Requests[245]XX$)/

/**
 * The metrics that the workers of one version printed. They are kept for the version's life, also
 * when a worker is replaced.
 */
export class PrintedMetrics {
  /** Lines that are not shown. */
  readonly dropped: Record<DropReason, number> = { invalid: 0, conflict: 0, limit: 0 }
  readonly #families = new Map<string, PrintedFamily>()
  /** Cache of parsed subjects: a handler prints the same ones with every request. */
  readonly #known = new Map<string, PrintedSeries>()
  readonly #seriesNames = new Set<string>()
  #seriesCount = 0
  readonly #said = new Set<DropReason>()

  get families(): ReadonlyMap<string, PrintedFamily> {
    return this.#families
  }

  /**
   * Counts one line, mostly within a microsecond. Never throws.
   * @param line A line that begins with `[METRICS]`.
   * @returns A problem for the operator, the first time that a valid metric is not shown.
   */
  take(line: string): string | undefined {
    const split = splitMetricsLine(line)
    if (split === undefined) return this.#drop('invalid')
    const known = this.#known.get(split.subject)
    if (known !== undefined) return this.#record(known, split.value)
    const metric = readSubject(split.subject)
    if (metric === undefined) return this.#drop('invalid')
    const { name, type } = metric
    if (!this.#isFree(metric))
      return this.#drop('conflict', `${name} (${type}): another metric has this name`)
    const series = this.#find(metric)
    if (series === undefined)
      return this.#drop(
        'limit',
        `${name}: the handlers of the server print too many metric names or labels`,
      )
    if (this.#known.size >= MAX_SUBJECTS) this.#known.clear()
    this.#known.set(split.subject, series)
    return this.#record(series, split.value)
  }

  #record(series: PrintedSeries, value: number): string | undefined {
    if (series.distribution !== undefined) series.distribution.observe(value)
    else if (series.type === 'gauge') series.value = value
    else if (value >= 0) series.value += value
    else return this.#drop('invalid')
    return undefined
  }

  /**
   * Whether a name is free: the server does not use it, and no other type or histogram series has
   * it. Names of `Object.prototype` are not free, because prom-client keeps its metrics in a plain
   * object.
   */
  #isFree({ name, type }: PrintedMetric): boolean {
    const family = this.#families.get(name)
    if (family !== undefined) return family.type === type
    if (OWN_NAMES.test(name) || name in Object.prototype) return false
    return seriesNames(name, type).every((one) => !this.#seriesNames.has(one))
  }

  /** Returns the series of a metric, a new one if necessary; `undefined` if a limit is reached. */
  #find({ name, unit, type, labels }: PrintedMetric): PrintedSeries | undefined {
    const key = JSON.stringify(labels)
    const family = this.#families.get(name) ?? newFamily(type, unit)
    const before = family.series.get(key)
    if (before !== undefined) return before
    const isHistogram = type === 'histogram'
    const count = this.#seriesCount + (isHistogram ? SERIES_OF_HISTOGRAM : 1)
    const isNew = !this.#families.has(name)
    if (count > MAX_SERIES || (isNew && this.#families.size >= MAX_NAMES)) return undefined
    if (isNew) for (const one of seriesNames(name, type)) this.#seriesNames.add(one)
    const distribution = isHistogram ? new Distribution(PRINTED_BOUNDS) : undefined
    const series = { type, labels, value: 0, distribution }
    family.series.set(key, series)
    this.#families.set(name, family)
    this.#seriesCount = count
    return series
  }

  /** Returns the problem only once per reason, because handlers print with every request. */
  #drop(reason: DropReason, problem?: string): string | undefined {
    this.dropped[reason] += 1
    if (this.#said.has(reason)) return undefined
    this.#said.add(reason)
    return problem
  }
}

function newFamily(type: FamilyType, unit: string): PrintedFamily {
  return { type, unit, series: new Map() }
}

function seriesNames(name: string, type: FamilyType): string[] {
  return type === 'histogram' ? HISTOGRAM_SUFFIXES.map((suffix) => name + suffix) : [name]
}
