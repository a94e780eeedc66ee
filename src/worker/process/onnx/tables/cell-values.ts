/** Reads the numbers of cells. */
import { NARROW_RANGES, WIDE_RANGES } from '../json/integer-sink.ts'
import type { NarrowInteger, WideInteger } from '../json/integer-sink.ts'

/** Longer texts are out of range for every integer, and `BigInt` needs quadratic time for them. */
const MAX_INTEGER_DIGITS = 20
const MAX_EXACT_DIGITS = 15
// No text has two ways to match, which would take quadratic time.
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const WHOLE = /^([+-]?)(\d*)(?:\.0*)?$/
const INFINITY = /^([+-]?)(?:inf|infinity)$/i

/** Texts that pandas reads as a missing value. */
const MISSING: ReadonlySet<string> = new Set(
  '|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null'.split(
    '|',
  ),
)
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['True', true],
  ['TRUE', true],
  ['false', false],
  ['False', false],
  ['FALSE', false],
])

/** A cell of a numeric column, as its text says. */
export type CellValue = 'missing' | 'number' | 'infinity' | 'other' | boolean

/** Classifies the text of a cell in a numeric column. */
export function classify(text: string): CellValue {
  if (NUMBER.test(text)) return 'number'
  if (MISSING.has(text)) return 'missing'
  return BOOLEANS.get(text) ?? (INFINITY.test(text) ? 'infinity' : 'other')
}

export function infinityOf(text: string): number {
  return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

/** A problem of a number, to be completed to a sentence. */
export type Problem = 'is not a whole number' | 'is out of range'

/** Reads an integer of up to 32 bits, also when it is written as a float such as `1.0`. */
export function narrowInteger(text: string, datatype: NarrowInteger): number | Problem {
  const value = Number(text)
  const [least, most] = NARROW_RANGES[datatype]
  if (!Number.isInteger(value)) {
    return Number.isFinite(value) ? 'is not a whole number' : 'is out of range'
  }
  return value >= least && value <= most ? value : 'is out of range'
}

/** Reads a 64-bit integer exactly, also when it is written as a float such as `1.0`. */
export function wideInteger(text: string, datatype: WideInteger): bigint | Problem {
  const [, sign = '', padded = ''] = WHOLE.exec(text) ?? []
  const digits = padded.replace(/^0+/, '')
  if (digits.length > MAX_INTEGER_DIGITS) return 'is out of range'
  const isExact = digits.length > MAX_EXACT_DIGITS
  const value = isExact ? BigInt(`${sign === '-' ? '-' : ''}${digits}`) : wholeNumber(text)
  if (typeof value === 'string') return value
  const [least, most] = WIDE_RANGES[datatype]
  return value >= least && value <= most ? value : 'is out of range'
}

function wholeNumber(text: string): bigint | Problem {
  const value = Number(text)
  if (Number.isInteger(value)) return BigInt(value)
  return Number.isFinite(value) ? 'is not a whole number' : 'is out of range'
}
