import { Distribution } from './metrics-counts.ts'
import { HISTOGRAM_SUFFIXES } from './metrics-families.ts'
import type { FamilyType, Labels } from './metrics-families.ts'
import { parseMetricsLine } from './metrics-line.ts'
import type { PrintedMetric } from './metrics-line.ts'

/** Why a metric is not shown: no metric at all, a name that has another meaning, too many. */
export type DropReason = 'invalid' | 'conflict' | 'limit'

/** All series of one version with one name. */
export interface PrintedFamily {
  readonly type: FamilyType
  readonly unit: string
  /** By the key of their labels. */
  readonly series: ReadonlyMap<string, PrintedSeries>
}

/** A series: a number, or in a histogram a distribution. */
export interface PrintedSeries {
  readonly labels: Labels
  value: number
  readonly distribution: Distribution | undefined
}

/** Nobody says what a histogram is of: three bounds to a decade, for seconds as well as milliseconds. */
const BOUNDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500,
  1000, 2500, 5000, 10_000,
]
const MAX_NAMES = 100
const MAX_SERIES = 1000
/** A histogram is one series for each bound, one for what is above all, its sum and its count. */
const SERIES_OF_HISTOGRAM = BOUNDS.length + 3
/**
 * Names of the server's own metrics. Those of `Object.prototype` are left out as well: prom-client keeps
 * its metrics in a plain object.
 */
const OWN_NAMES = /^(?:onnxd_|ts_(?:inference|queue)_|process_(?:cpu|resident|start)_)/

/** What the workers of one version have printed as metrics. Goes with the version, not with a worker. */
export class PrintedMetrics {
  /** Lines that are shown nowhere. */
  readonly dropped: Record<DropReason, number> = { invalid: 0, conflict: 0, limit: 0 }
  readonly #families = new Map<string, PrintedFamily & { series: Map<string, PrintedSeries> }>()
  readonly #seriesNames = new Set<string>()
  #seriesCount = 0
  readonly #said = new Set<DropReason>()

  get families(): ReadonlyMap<string, PrintedFamily> {
    return this.#families
  }

  /**
   * Counts what a line says. Costs one or two microseconds, and never throws.
   * @param line One that begins with `[METRICS]`.
   * @returns What the operator should know: the first time that a metric which could be read is not taken.
   */
  take(line: string): string | undefined {
    const metric = parseMetricsLine(line)
    if (metric === undefined) {
      this.dropped.invalid += 1
      return undefined
    }
    const { name, type, value, key } = metric
    const known = this.#families.get(name)
    const isTaken = known === undefined ? !this.#isFree(metric) : known.type !== type
    if (isTaken) return this.#drop('conflict', `${name} (${type}): the name means something else`)
    const series = known?.series.get(key) ?? this.#add(metric)
    if (series === undefined)
      return this.#drop('limit', `${name}: there are too many names or labels`)
    if (series.distribution !== undefined) series.distribution.observe(value)
    else series.value = type === 'counter' ? series.value + value : value
    return undefined
  }

  /** Whether a new name is neither the server's nor one of the series that are there. */
  #isFree({ name, type }: PrintedMetric): boolean {
    if (OWN_NAMES.test(name) || name in Object.prototype) return false
    return seriesNames(name, type).every((one) => !this.#seriesNames.has(one))
  }

  /** `undefined` when it is one too many. */
  #add({ name, unit, type, labels, key }: PrintedMetric): PrintedSeries | undefined {
    const isHistogram = type === 'histogram'
    const count = this.#seriesCount + (isHistogram ? SERIES_OF_HISTOGRAM : 1)
    let family = this.#families.get(name)
    if (count > MAX_SERIES || (family === undefined && this.#families.size >= MAX_NAMES))
      return undefined
    if (family === undefined) {
      family = { type, unit, series: new Map() }
      this.#families.set(name, family)
      for (const one of seriesNames(name, type)) this.#seriesNames.add(one)
    }
    const distribution = isHistogram ? new Distribution(BOUNDS) : undefined
    const series = { labels, value: 0, distribution }
    family.series.set(key, series)
    this.#seriesCount = count
    return series
  }

  /** Each reason is said once: handlers print with every request. */
  #drop(reason: DropReason, problem: string): string | undefined {
    this.dropped[reason] += 1
    if (this.#said.has(reason)) return undefined
    this.#said.add(reason)
    return problem
  }
}

function seriesNames(name: string, type: FamilyType): string[] {
  return type === 'histogram' ? HISTOGRAM_SUFFIXES.map((suffix) => name + suffix) : [name]
}
