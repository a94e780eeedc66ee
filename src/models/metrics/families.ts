/** Families of metrics whose numbers are kept elsewhere and read at the moment of a scrape. */
import { Gauge } from 'prom-client'
import type { Histogram, Registry } from 'prom-client'
import type { Distribution } from './counts.ts'

/** Label names and values of one series. */
export type Labels = Readonly<Record<string, string>>

/** What a family is called, what it means, and which labels its series have. */
export interface FamilyInfo {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
}

/** One series and its value. */
export type Sample = readonly [labels: Labels, value: number]

/** The series of a histogram that share all labels but `le`. */
export type HistogramSample = readonly [labels: Labels, values: Distribution]

/** One line of a page. Those of a histogram have names of their own, behind that of the family. */
export interface Series {
  readonly metricName?: string
  readonly labels: Labels
  readonly value: number
}

export type FamilyType = 'counter' | 'gauge' | 'histogram'

type Read<T> = () => readonly T[] | Promise<readonly T[]>

/** What the ends of a histogram's names are. */
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

/** Adds a family whose series are read at each scrape; no two of them may have the same name and labels. */
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

/** The lines of a histogram called `name`: a bucket for each bound and one for all, the sum, the count. */
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
 * A metric of any type without numbers of its own. The library's `collect` does not suffice: it cannot
 * fill a histogram, needs all label names beforehand, and a counter throws if its value is infinite.
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
