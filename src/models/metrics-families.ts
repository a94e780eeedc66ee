/** Families of metrics whose numbers are kept elsewhere and read at the moment of a scrape. */
import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import type { Distribution } from './metrics-counts.ts'

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

export function addCounter(
  registry: Registry,
  info: FamilyInfo,
  read: () => readonly Sample[],
): void {
  registry.registerMetric(
    new Counter({
      ...info,
      registers: [],
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.inc(labels, value)
      },
    }),
  )
}

export function addGauge(
  registry: Registry,
  info: FamilyInfo,
  read: () => readonly Sample[] | Promise<readonly Sample[]>,
): void {
  registry.registerMetric(
    new Gauge({
      ...info,
      registers: [],
      async collect() {
        const samples = await read()
        this.reset()
        for (const [labels, value] of samples) this.set(labels, value)
      },
    }),
  )
}

export function addHistogram(
  registry: Registry,
  info: FamilyInfo,
  read: () => readonly HistogramSample[],
): void {
  registry.registerMetric(new ReadHistogram(info, read))
}

/** The library's own histogram takes single observations only; this one brings its buckets. */
class ReadHistogram extends Gauge {
  /** Lends its type and texts. */
  readonly #empty: Histogram
  readonly #name: string
  readonly #read: () => readonly HistogramSample[]

  constructor(info: FamilyInfo, read: () => readonly HistogramSample[]) {
    super({ ...info, registers: [] })
    this.#empty = new Histogram({ ...info, registers: [] })
    this.#name = info.name
    this.#read = read
  }

  override async get(): ReturnType<Histogram['get']> {
    const values = this.#read().flatMap(([labels, distribution]) => {
      const { bounds, cumulative, sum } = distribution
      const series = (suffix: string, value: number, extra: Labels = {}) => ({
        metricName: `${this.#name}_${suffix}`,
        labels: { ...labels, ...extra },
        value,
      })
      return [
        ...cumulative.map((count, index) =>
          series('bucket', count, { le: String(bounds[index] ?? '+Inf') }),
        ),
        series('sum', sum),
        series('count', cumulative.at(-1) ?? 0),
      ]
    })
    return { ...(await this.#empty.get()), values }
  }
}
