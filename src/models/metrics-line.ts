/** The lines by which handlers tell their metrics (MMS metrics, section 8.1), as series of Prometheus. */
import type { FamilyType, Labels } from './metrics-families.ts'

/** What a line of a worker's output begins with when it is a metric. */
export const METRICS_PREFIX = '[METRICS]'
/** Labels that the server adds itself. */
export const SERVER_LABELS = ['model', 'version', 'Hostname'] as const

/** What one line says. */
export interface PrintedMetric {
  /** A legal name of Prometheus. */
  readonly name: string
  /** As it is printed, for example `Milliseconds`. */
  readonly unit: string
  /** How values come together: they add up, the last one counts, or their distribution does. */
  readonly type: FamilyType
  /** A finite number, of a counter not negative. */
  readonly value: number
  readonly labels: Labels
  /** The same text for the same labels, in whatever order they came. */
  readonly key: string
}

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
 * Reads `[METRICS]name.unit:value|#dimension:value,…|#hostname:host,seconds,ids`, with or without
 * `|#type:COUNTER` (`GAUGE`, `HISTOGRAM`) before the host. What follows the host is not looked at: ids of
 * requests are no labels, and what is in them is up to clients.
 * @returns `undefined` for what is no such line.
 */
export function parseMetricsLine(line: string): PrintedMetric | undefined {
  const [head = '', dimensions, third, fourth] = line.slice(METRICS_PREFIX.length).split('|#', 4)
  const hasType = third?.startsWith('type:') === true
  const host = hasType ? fourth : third
  if (dimensions === undefined || host?.startsWith('hostname:') !== true) return undefined
  const colon = head.lastIndexOf(':')
  const dot = head.lastIndexOf('.', colon)
  if (dot < 1 || colon - dot < 2) return undefined
  const unit = cut(head.slice(dot + 1, colon), MAX_UNIT_CHARACTERS)
  const type = hasType ? TYPES.get(third) : untypedAs(unit)
  const value = numberOf(head.slice(colon + 1))
  if (type === undefined || value === undefined) return undefined
  if (type === 'counter' && value < 0) return undefined
  const pairs = dimensions.split(',', MAX_DIMENSIONS + 1)
  if (pairs.length > MAX_DIMENSIONS) return undefined
  return { name: legalName(head.slice(0, dot)), unit, type, value, ...labelsOf(pairs) }
}

/** MMS knows no types: its counters are what it prints in `Count`, since the line before, and the rest are values of now. */
function untypedAs(unit: string): FamilyType {
  return unit === 'Count' ? 'counter' : 'gauge'
}

function numberOf(text: string): number | undefined {
  const value = NUMBER.test(text) ? Number(text) : Number.NaN
  return Number.isFinite(value) ? value : undefined
}

/** An empty label is none to Prometheus, so two series could be one; likewise without a name. */
function labelsOf(pairs: readonly string[]): Pick<PrintedMetric, 'labels' | 'key'> {
  const labels = new Map<string, string>()
  for (const pair of pairs) {
    const colon = pair.indexOf(':')
    const name = pair.slice(0, Math.max(0, colon)).trim()
    const value = cut(pair.slice(colon + 1).trim(), MAX_VALUE_CHARACTERS)
    if (name !== '' && value !== '') labels.set(labelName(name), value)
  }
  const sorted = [...labels].toSorted(([one], [other]) => (one < other ? -1 : 1))
  return { labels: Object.fromEntries(sorted), key: sorted.map((pair) => pair.join('=')).join(',') }
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
