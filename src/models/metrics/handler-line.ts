/** The lines by which handlers tell their metrics to MMS and TorchServe, as series of Prometheus. */
import type { FamilyType, Labels } from './families.ts'

/** What a line of a worker's output begins with when it is a metric. */
export const METRICS_PREFIX = '[METRICS]'
/** Labels that the server adds itself. */
export const SERVER_LABELS = ['model', 'version', 'Hostname'] as const

/** A line in two: what was measured, and what came out. */
export interface MetricsLine {
  /** `name.unit|#dimension:value,…`, with `|#type:COUNTER` where the line says so: the same text for each line of a metric. */
  readonly subject: string
  /** A finite number. */
  readonly value: number
}

/** What a subject means. */
export interface PrintedMetric {
  /** A legal name of Prometheus. */
  readonly name: string
  /** As it is printed, for example `Milliseconds`. */
  readonly unit: string
  /** How values come together: they add up, the last one counts, or their distribution does. */
  readonly type: FamilyType
  /** In the order of their names. */
  readonly labels: Labels
}

/** Subjects are kept, so that the next line with the same one is read quickly. */
const MAX_SUBJECT_CHARACTERS = 2000
const MAX_NAME_CHARACTERS = 100
const MAX_VALUE_CHARACTERS = 200
const MAX_UNIT_CHARACTERS = 40
/** Dimensions of one metric; `ModelName` and `Level` are two of them. */
const MAX_DIMENSIONS = 16
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i
const TYPES: ReadonlyMap<string, FamilyType> = new Map([
  ['type:COUNTER', 'counter'],
  ['type:GAUGE', 'gauge'],
  ['type:HISTOGRAM', 'histogram'],
])
/** `le` belongs to histograms. */
const TAKEN_LABELS: ReadonlySet<string> = new Set([...SERVER_LABELS, 'le'])

/**
 * Takes `[METRICS]name.unit:value|#dimension:value,…|#hostname:host,seconds,ids` apart. What follows the host
 * is not looked at: ids of requests are no labels, and what is in them is up to clients.
 * @returns `undefined` for what is no such line.
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

/** Says what a subject means; `undefined` where it has no name, no unit, an unknown type or too many dimensions. */
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

/** MMS knows no types: its counters are what it prints in `Count`, since the line before, and the rest are values of now. */
function untypedAs(unit: string): FamilyType {
  return unit === 'Count' ? 'counter' : 'gauge'
}

/** An empty label is none to Prometheus, so two series could be one. */
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

/** Names that somebody else gives are marked as Prometheus marks them. */
function labelName(text: string): string {
  const name = legalName(text)
  return TAKEN_LABELS.has(name) || name.startsWith('__') ? `exported_${name}` : name
}

function legalName(text: string): string {
  const name = text.slice(0, MAX_NAME_CHARACTERS).replaceAll(/[^a-zA-Z0-9_]/g, '_')
  return /^\d/.test(name) ? `_${name}` : name
}

/** At most `characters` of a text, none of them a control character or half of a pair. */
function cut(text: string, characters: number): string {
  return text
    .slice(0, characters)
    .replace(/[\uD800-\uDBFF]$/, '')
    .replaceAll(/\p{Cc}/gu, ' ')
}
