/**
 * Collects the metrics of one batch and prints them in the line format of MMS and TorchServe. See
 * `docs/worker-protocol.md`.
 */
import { hostname } from 'node:os'
import { joinLines } from '../join-lines.ts'

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

/** Names and values of dimensions, which are printed before the model's name. */
export type Dimensions = Readonly<Record<string, unknown>>

interface Metric {
  readonly name: string
  readonly unit: string
  readonly dimensions: string
  readonly requestIds: string
  value: number | string
}

/**
 * The object `context.metrics`. A repeated name is added to the earlier value (counters) or
 * replaces it (all others).
 */
export class Metrics {
  readonly #modelName: string
  readonly #requestIds: readonly string[]
  readonly #metrics = new Map<string, Metric>()

  constructor(modelName: string, requestIds: readonly string[]) {
    this.#modelName = modelName
    this.#requestIds = requestIds
  }

  /** @param index Position of the request in the batch; absent for all requests. */
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

  /**
   * Returns the lines of the metrics that were added since the last call, and removes the metrics.
   * Empty when nothing was added.
   */
  takeLines(): string {
    if (this.#metrics.size === 0) return ''
    const tail = `|#hostname:${HOST},${Math.floor(Date.now() / 1000)}`
    let lines = ''
    for (const { name, unit, value, dimensions, requestIds } of this.#metrics.values()) {
      const head = `${name}.${unit}:${value}|#${dimensions}${tail}`
      lines += `[METRICS]${joinLines(requestIds === '' ? head : `${head},${requestIds}`)}\n`
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

/**
 * Prints metrics after the loop has sent the replies of their batches, because a write costs as
 * much as a reply.
 */
export class MetricsPrinter {
  readonly #isSilent: boolean
  #lines = ''
  readonly #flush = (): void => {
    process.stdout.write(this.#lines)
    this.#lines = ''
  }

  constructor(isSilent = false) {
    this.#isSilent = isSilent
  }

  print(metrics: Metrics): void {
    const lines = metrics.takeLines()
    if (lines === '' || this.#isSilent) return
    if (this.#lines === '') setImmediate(this.#flush)
    this.#lines += lines
  }
}
