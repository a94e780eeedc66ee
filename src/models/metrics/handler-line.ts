/**
 * Parses the lines in which handlers print metrics for MMS and TorchServe, into series of
 * Prometheus.
 */
import type { FamilyType, Labels } from './families.ts'

/** Prefix of a metric line in a worker's output. */
export const METRICS_PREFIX = '[METRICS]'
/** Labels that the server adds itself. */
export const SERVER_LABELS = ['model', 'version', 'Hostname'] as const

/** A line in two parts: the metric and its value. */
export interface MetricsLine {
  /**
   * `name.unit|#dimension:value,…`, followed by `|#type:COUNTER` if the line has a type. The text
   * is the same for each line of a metric.
   */
  readonly subject: string
  /** A finite number. */
  readonly value: number
}

/** The meaning of a subject. */
export interface PrintedMetric {
  /** A valid Prometheus name. */
  readonly name: string
  /** As printed, for example `Milliseconds`. */
  readonly unit: string
  /**
   * How values are combined: a counter adds them, a gauge keeps the last, a histogram keeps all.
   */
  readonly type: FamilyType
  /** Sorted by name. */
  readonly labels: Labels
}

/** Subjects are cached, so that the next line with the same subject is fast. */
const MAX_SUBJECT_CHARACTERS = 2000
const MAX_NAME_CHARACTERS = 100
const MAX_VALUE_CHARACTERS = 200
const MAX_UNIT_CHARACTERS = 40
/** Maximum dimensions of a metric, including `ModelName` and `Level`. */
const MAX_DIMENSIONS = 16
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i
const TYPES: ReadonlyMap<string, FamilyType> = new Map([
  ['type:COUNTER', 'counter'],
  ['type:GAUGE', 'gauge'],
  ['type:HISTOGRAM', 'histogram'],
])
/** `le` is reserved for histograms. */
const TAKEN_LABELS: ReadonlySet<string> = new Set([...SERVER_LABELS, 'le'])

/**
 * Splits `[METRICS]name.unit:value|#dimension:value,…|#hostname:host,seconds,ids`. The text after
 * the host is ignored: it holds request ids, which are no labels and which clients choose.
 * @returns `undefined` if the line is not a metric.
 */
export function splitMetricsLine(line: string): MetricsLine | undefined {
  const bar = line.indexOf('|#')
  const host = line.indexOf('|#hostname:', bar + 1)
  const colon = line.lastIndexOf(':', bar)
  if (bar < 0 || host < 0 || colon < 0) return undefined
  const digits = line.slice(colon + 1, bar)
  const value = NUMBER.test(digits) ? Number(digits) : Number.NaN
  const subject = line.slice(METRICS_PREFIX.length, colon) + line.slice(bar, host)
  const isReadable = Number.isFinite(value) && subject.length <= MAX_SUBJECT_CHARACTERS
  return isReadable ? { subject, value } : undefined
}

/**
 * Parses a subject; `undefined` if it has no name, no unit, an unknown type or too many dimensions.
 */
export function readSubject(subject: string): PrintedMetric | undefined {
  const [head = '', dimensions = '', saidType, surplus] = subject.split('|#', 4)
  const dot = head.lastIndexOf('.')
  const unit = cut(head.slice(dot + 1), MAX_UNIT_CHARACTERS)
  const type = saidType === undefined ? untypedAs(unit) : TYPES.get(saidType)
  const pairs = dimensions.split(',', MAX_DIMENSIONS + 1)
  const isWhole = dot > 0 && unit !== '' && surplus === undefined
  if (!isWhole || type === undefined || pairs.length > MAX_DIMENSIONS) return undefined
  return { name: legalName(head.slice(0, dot)), unit, type, labels: labelsOf(pairs) }
}

/**
 * MMS has no types. Its counters are printed with the unit `Count`, as the increase since the last
 * line; other metrics are current values.
 */
function untypedAs(unit: string): FamilyType {
  return unit === 'Count' ? 'counter' : 'gauge'
}

/** Prometheus ignores an empty label, so two series could become one. */
function labelsOf(pairs: readonly string[]): Labels {
  const labels = new Map<string, string>()
  for (const pair of pairs) {
    const colon = pair.indexOf(':')
    const name = pair.slice(0, Math.max(0, colon)).trim()
    const value = cut(pair.slice(colon + 1).trim(), MAX_VALUE_CHARACTERS)
    if (name !== '' && value !== '') labels.set(labelName(name), value)
  }
  return Object.fromEntries([...labels].toSorted(([one], [other]) => (one < other ? -1 : 1)))
}

/** Names that the server uses itself get a prefix, as in Prometheus. */
function labelName(text: string): string {
  const name = legalName(text)
  return TAKEN_LABELS.has(name) || name.startsWith('__') ? `exported_${name}` : name
}

function legalName(text: string): string {
  const name = text.slice(0, MAX_NAME_CHARACTERS).replaceAll(/[^a-zA-Z0-9_]/g, '_')
  return /^\d/.test(name) ? `_${name}` : name
}

/** Cuts a text to `characters`, without control characters and without half of a surrogate pair. */
function cut(text: string, characters: number): string {
  return text
    .slice(0, characters)
    .replace(/[\uD800-\uDBFF]$/, '')
    .replaceAll(/\p{Cc}/gu, ' ')
}
