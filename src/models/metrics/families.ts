/** Metric families whose values are stored elsewhere and read at each scrape. */
import { Gauge } from 'prom-client'
import type { Histogram, Registry } from 'prom-client'
import type { Distribution } from './counts.ts'

/** Label names and values of one series. */
export type Labels = Readonly<Record<string, string>>

/** Name, help text and label names of a family. */
export interface FamilyInfo {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
}

/** One series and its value. */
export type Sample = readonly [labels: Labels, value: number]

/** The series of a histogram with the same labels except `le`. */
export type HistogramSample = readonly [labels: Labels, values: Distribution]

/**
 * One line of the page. A line of a histogram has its own name, which starts with that of the
 * family.
 */
export interface Series {
  readonly metricName?: string
  readonly labels: Labels
  readonly value: number
}

export type FamilyType = 'counter' | 'gauge' | 'histogram'

type Read<T> = () => readonly T[] | Promise<readonly T[]>

/** Suffixes of the series names of a histogram. */
export const HISTOGRAM_SUFFIXES = ['_bucket', '_sum', '_count'] as const

export function addCounter(registry: Registry, info: FamilyInfo, read: Read<Sample>): void {
  addFamily(registry, 'counter', info, async () => (await read()).map(seriesOf))
}

export function addGauge(registry: Registry, info: FamilyInfo, read: Read<Sample>): void {
  addFamily(registry, 'gauge', info, async () => (await read()).map(seriesOf))
}

export function addHistogram(
  registry: Registry,
  info: FamilyInfo,
  read: Read<HistogramSample>,
): void {
  addFamily(registry, 'histogram', info, async () =>
    (await read()).flatMap((sample) => seriesOfHistogram(info.name, sample)),
  )
}

/**
 * Adds a family whose lines are shown as `read` returns them. No two lines may have the same name
 * and labels.
 */
export function addFamily(
  registry: Registry,
  type: FamilyType,
  info: FamilyInfo,
  read: Read<Series>,
): void {
  registry.registerMetric(new ReadFamily(type, info, read))
}

export function seriesOf([labels, value]: Sample): Series {
  return { labels, value }
}

/**
 * Returns the lines of a histogram called `name`: a bucket per bound, a bucket for all values, the
 * sum, the count.
 */
export function seriesOfHistogram(name: string, [labels, values]: HistogramSample): Series[] {
  const { bounds, cumulative, sum } = values
  return [
    ...cumulative.map((value, index) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: String(bounds[index] ?? '+Inf') },
      value,
    })),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: cumulative.at(-1) ?? 0 },
  ]
}

/**
 * A metric of any type that stores no values. The library's `collect` does not suffice: it cannot
 * fill a histogram, needs all label names beforehand, and a counter throws on an infinite value.
 */
class ReadFamily extends Gauge {
  /** The library writes this type into the page. */
  readonly type: FamilyType
  readonly #read: Read<Series>

  constructor(type: FamilyType, info: FamilyInfo, read: Read<Series>) {
    super({ ...info, registers: [] })
    this.type = type
    this.#read = read
  }

  override async get(): ReturnType<Histogram['get']> {
    return { ...(await super.get()), values: [...(await this.#read())] }
  }
}
