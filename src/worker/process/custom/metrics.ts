/** Metrics of one batch, printed as the lines that MMS and TorchServe collect (MMS metrics, section 8.1). */
import { hostname } from 'node:os'
import { oneLine } from '../one-line.ts'

const HOST = hostname()
const UNITS: Readonly<Record<string, string>> = {
  ms: 'Milliseconds',
  s: 'Seconds',
  percent: 'Percent',
  count: 'Count',
  MB: 'Megabytes',
  GB: 'Gigabytes',
  kB: 'Kilobytes',
  B: 'Bytes',
}

/** Dimension names and values, printed before the model's name. */
export type Dimensions = Readonly<Record<string, unknown>>

interface Metric {
  readonly name: string
  readonly unit: string
  readonly dimensions: string
  readonly requestIds: string
  value: number | string
}

/** The store that `context.metrics` is. A name that is used again adds up (counters) or is overwritten. */
export class Metrics {
  readonly #modelName: string
  readonly #requestIds: readonly string[]
  readonly #metrics = new Map<string, Metric>()

  constructor(modelName: string, requestIds: readonly string[]) {
    this.#modelName = modelName
    this.#requestIds = requestIds
  }

  /** @param index Position of the request in the batch; all of them when absent. */
  addCounter(name: string, value: number, index?: number | null, dimensions?: Dimensions): void {
    const metric = this.#metric(name, 'count', index, dimensions)
    metric.value = Number(metric.value) + value
  }

  /** @param unit `ms` or `s`. */
  addTime(
    name: string,
    value: number,
    index?: number | null,
    unit = 'ms',
    dimensions?: Dimensions,
  ): void {
    this.#metric(name, unit, index, dimensions).value = value
  }

  /** @param unit `MB`, `kB`, `GB` or `B`. */
  addSize(
    name: string,
    value: number,
    index?: number | null,
    unit = 'MB',
    dimensions?: Dimensions,
  ): void {
    this.#metric(name, unit, index, dimensions).value = value
  }

  addPercent(name: string, value: number, index?: number | null, dimensions?: Dimensions): void {
    this.#metric(name, 'percent', index, dimensions).value = value
  }

  addError(name: string, value: string): void {
    this.#add(name, 'unit', 'Level:Error', undefined).value = value
  }

  addMetric(
    name: string,
    value: number,
    index?: number | null,
    unit = 'unit',
    dimensions?: Dimensions,
  ): void {
    this.#metric(name, unit, index, dimensions).value = value
  }

  /** The lines of what was added since the last call, empty when nothing was. */
  takeLines(): string {
    if (this.#metrics.size === 0) return ''
    const tail = `|#hostname:${HOST},${Math.floor(Date.now() / 1000)}`
    let lines = ''
    for (const { name, unit, value, dimensions, requestIds } of this.#metrics.values()) {
      const head = `${name}.${unit}:${value}|#${dimensions}${tail}`
      lines += `[METRICS]${oneLine(requestIds === '' ? head : `${head},${requestIds}`)}\n`
    }
    this.#metrics.clear()
    return lines
  }

  #metric(
    name: string,
    unit: string,
    index: number | null | undefined,
    dimensions: Dimensions = {},
  ): Metric {
    const given = Object.entries(dimensions).map(([key, value]) => `${key}:${String(value)},`)
    const text = `${given.join('')}ModelName:${this.#modelName},Level:Model`
    return this.#add(name, UNITS[unit] ?? unit, text, index)
  }

  #add(name: string, unit: string, dimensions: string, index: number | null | undefined): Metric {
    const ids = index === undefined || index === null ? this.#requestIds : [this.#requestIds[index]]
    const requestIds = ids.join(',')
    const key = `${name}.${unit}|${dimensions}|${requestIds}`
    const known = this.#metrics.get(key)
    if (known) return known
    const metric = { name, unit, dimensions, requestIds, value: 0 }
    this.#metrics.set(key, metric)
    return metric
  }
}

/** Prints metrics once the loop has sent the replies they belong to: a write costs as much as a reply. */
export class MetricsPrinter {
  #lines = ''
  readonly #flush = (): void => {
    process.stdout.write(this.#lines)
    this.#lines = ''
  }

  print(metrics: Metrics): void {
    const lines = metrics.takeLines()
    if (lines === '') return
    if (this.#lines === '') setImmediate(this.#flush)
    this.#lines += lines
  }
}
