/** Numbers, sizes and times as pages show them. */

/** Shown where there is no value. */
export const NONE = '–'

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

/** A whole number with groups of digits: `12,345`. */
export function formatCount(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? NONE : grouped.format(value)
}

/** A number with about three digits: `0.42`, `3.42`, `34.2`, `342`, `3,420`. */
export function formatDecimal(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return NONE
  const size = Math.abs(value)
  if (value === 0 || size >= 100) return grouped.format(value)
  if (size >= 10) return value.toFixed(1)
  return size >= 0.01 ? value.toFixed(2) : value.toPrecision(1)
}

/** A number for the axis of a chart, without zeros at its end: `0`, `2.5`, `5`. */
export function formatTick(value: number): string {
  return Math.abs(value) >= 100 ? grouped.format(value) : String(Number(value.toPrecision(3)))
}

/** A size with a binary unit: `0 B`, `1.50 MiB`. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined || !Number.isFinite(bytes)) return NONE
  let value = bytes
  let unit = 0
  while (value >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const number = unit === 0 ? String(Math.round(value)) : formatDecimal(value)
  return `${number} ${BYTE_UNITS[unit] ?? ''}`
}

/** A short time: `0.12 ms`, `340 ms`, `1.20 s`, `2 min 3 s`. */
export function formatMilliseconds(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return NONE
  if (ms < SECOND_MS) return `${formatDecimal(ms)} ms`
  return ms < MINUTE_MS ? `${formatDecimal(ms / SECOND_MS)} s` : formatAge(ms)
}

/** A long time with at most two units: `12 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatAge(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return NONE
  if (ms < MINUTE_MS) return `${String(Math.max(0, Math.floor(ms / SECOND_MS)))} s`
  if (ms < HOUR_MS) return twoUnits(ms, [MINUTE_MS, 'min'], [SECOND_MS, 's'])
  return ms < DAY_MS
    ? twoUnits(ms, [HOUR_MS, 'h'], [MINUTE_MS, 'min'])
    : twoUnits(ms, [DAY_MS, 'd'], [HOUR_MS, 'h'])
}

/** A share as a percentage: `12.5 %`. */
export function formatPercent(share: number | undefined): string {
  if (share === undefined || !Number.isFinite(share)) return NONE
  return share === 0 ? '0 %' : `${formatDecimal(share * 100)} %`
}

/** The time of the day, in the browser's time zone: `16:03:12`. */
export function formatClock(time: Date | number | string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return NONE
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':')
}

/** Date and time, in the browser's time zone: `2026-11-29 16:03:12`. */
export function formatDateTime(time: Date | number | string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return NONE
  const day = [date.getFullYear(), twoDigits(date.getMonth() + 1), twoDigits(date.getDate())]
  return `${day.join('-')} ${formatClock(date)}`
}

/** `1 model`, `2 models`; the plural is the singular with an `s` unless it is given. */
export function formatAmount(count: number, singular: string, plural = `${singular}s`): string {
  return `${formatCount(count)} ${count === 1 ? singular : plural}`
}

type Unit = readonly [ms: number, name: string]

function twoUnits(ms: number, [large, largeName]: Unit, [small, smallName]: Unit): string {
  const rest = Math.floor((ms % large) / small)
  const first = `${String(Math.floor(ms / large))} ${largeName}`
  return rest === 0 ? first : `${first} ${String(rest)} ${smallName}`
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
