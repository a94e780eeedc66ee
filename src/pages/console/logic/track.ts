/** Rates and latencies of a model version, or of the whole server, over the last minutes. */
import type { Counts, Histogram, Version } from './live.ts'
import { addedBetween, quantileOf, sumOf } from './quantile.ts'

/** Points that are kept, one a second. */
const MAX_POINTS = 300
/** Latencies are those of the requests within this time. */
const WINDOW_MS = 10_000
/** Rates in texts are means over this time, so that they can be read. */
const MEAN_MS = 5000
/** After such a pause nothing is known about the time between. */
const GAP_MS = 10_000

/** Counters at a time. */
export interface Reading {
  /** The server's clock in milliseconds. */
  readonly time: number
  readonly statuses: Counts
  readonly queued: number
  readonly running: number
  readonly queueSeconds: Histogram | undefined
  readonly workerSeconds: Histogram | undefined
}

/** Rates are in requests for each second, latencies in milliseconds. `undefined` is unknown. */
export interface Point {
  readonly time: number
  readonly succeeded: number | undefined
  readonly clientErrors: number | undefined
  readonly serverErrors: number | undefined
  readonly p50: number | undefined
  readonly p99: number | undefined
  readonly queued: number
  readonly running: number
}

/** The means of the last seconds. */
export interface Rates {
  readonly requests: number | undefined
  readonly clientErrors: number | undefined
  readonly serverErrors: number | undefined
}

/** What is known before there are two readings. */
export const UNKNOWN_RATES: Rates = {
  requests: undefined,
  clientErrors: undefined,
  serverErrors: undefined,
}

/** Follows the counters of one version or of all. */
export class Track {
  #readings: Reading[] = []
  #points: Point[] = []

  /** Takes the counters of now. */
  add(now: Reading): void {
    const before = this.#readings.at(-1)
    if (before !== undefined && isBroken(before, now)) this.#readings = []
    this.#readings = [...this.#readings, now].filter(({ time }) => now.time - time <= WINDOW_MS)
    const last = this.#readings.at(-2)
    const [oldest] = this.#readings
    const added = addedBetween(oldest?.workerSeconds, now.workerSeconds)
    const isKnown = last !== undefined
    const point = {
      time: now.time,
      succeeded: rateOf(last, now, ['2xx', '3xx']),
      clientErrors: rateOf(last, now, ['4xx']),
      serverErrors: rateOf(last, now, ['5xx']),
      p50: isKnown ? inMs(quantileOf(added, 0.5)) : undefined,
      p99: isKnown ? inMs(quantileOf(added, 0.99)) : undefined,
      queued: now.queued,
      running: now.running,
    }
    this.#points = [...this.#points, point].slice(-MAX_POINTS)
  }

  /** Oldest first. */
  get points(): readonly Point[] {
    return this.#points
  }

  /** The newest point. */
  get last(): Point | undefined {
    return this.#points.at(-1)
  }

  get rates(): Rates {
    const now = this.#readings.at(-1)
    if (now === undefined) return UNKNOWN_RATES
    const from = this.#readings.find(({ time }) => now.time - time <= MEAN_MS)
    const then = from === now ? undefined : from
    return {
      requests: rateOf(then, now, ['2xx', '3xx', '4xx', '5xx']),
      clientErrors: rateOf(then, now, ['4xx']),
      serverErrors: rateOf(then, now, ['5xx']),
    }
  }
}

/** The counters of a version. */
export function readingOf(version: Version, time: number): Reading {
  const { statuses, queued, running, queueSeconds, workerSeconds } = version
  return { time, statuses, queued, running, queueSeconds, workerSeconds }
}

/** The sums over all versions. */
export function totalOf(versions: readonly Version[], time: number): Reading {
  const statuses: Record<string, number> = {}
  for (const version of versions)
    for (const [name, count] of Object.entries(version.statuses))
      statuses[name] = (statuses[name] ?? 0) + count
  return {
    time,
    statuses,
    queued: versions.reduce((sum, { queued }) => sum + queued, 0),
    running: versions.reduce((sum, { running }) => sum + running, 0),
    queueSeconds: sumOf(versions.map(({ queueSeconds }) => queueSeconds)),
    workerSeconds: sumOf(versions.map(({ workerSeconds }) => workerSeconds)),
  }
}

/** Whether readings cannot be compared: after a pause, or if a counter became smaller. */
function isBroken(before: Reading, now: Reading): boolean {
  const hasShrunk = Object.entries(before.statuses).some(
    ([name, count]) => (now.statuses[name] ?? 0) < count,
  )
  return hasShrunk || now.time - before.time > GAP_MS || now.time <= before.time
}

function rateOf(
  before: Reading | undefined,
  now: Reading,
  classes: readonly string[],
): number | undefined {
  if (before === undefined) return undefined
  const added = classes.reduce(
    (sum, name) => sum + (now.statuses[name] ?? 0) - (before.statuses[name] ?? 0),
    0,
  )
  return added / ((now.time - before.time) / 1000)
}

function inMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}
