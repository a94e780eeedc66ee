/**
 * Counts the rows and fields of a CSV file without reading them. The parser needs about a
 * microsecond for each field, this count a nanosecond for each byte. So a body that exceeds a limit
 * of the model is rejected before the parser has blocked the worker for seconds.
 */

const QUOTE = 0x22
const COMMA = 0x2c
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/** The size of a CSV file. It is exact if all quotes are at the right places. */
export interface CsvSize {
  /** Number of rows with the header, without empty lines. */
  readonly rows: number
  readonly hasQuotes: boolean
  /** The first row with more fields than allowed. */
  readonly wide: WideRow | undefined
}

/** A row with so many fields that it must be rejected. */
export interface WideRow {
  /** Number of rows before it. */
  readonly index: number
  readonly fields: number
  /** Offset of the byte after the last field that the error needs. */
  readonly end: number
}

/**
 * @param csv UTF-8 without a byte order mark.
 * @param maxFields Most fields of the first row. Later rows may have {@link mostFields} of its
 * number.
 */
export function sizeOfCsv(csv: Buffer, maxFields: number): CsvSize {
  let most = maxFields
  let rows = 0
  let fields = 1
  let rowStart = 0
  let cut = 0
  let hasQuotes = false
  let wide: WideRow | undefined
  for (let at = 0; at <= csv.length; at++) {
    const byte = at === csv.length ? LINE_FEED : (csv[at] ?? 0)
    // Digits and letters are above the comma.
    if (byte > COMMA) continue
    if (byte === COMMA) {
      if (fields === most) cut = at
      fields++
    } else if (byte === LINE_FEED || byte === CARRIAGE_RETURN) {
      if (fields > 1 || at > rowStart) {
        if (fields > most && wide === undefined) wide = { index: rows, fields, end: cut }
        if (rows === 0) most = mostFields(fields)
        rows++
      }
      fields = 1
      rowStart = at + 1
    } else if (byte === QUOTE) {
      hasQuotes = true
      const end = csv.indexOf(QUOTE, at + 1)
      // A quote that is not closed ends the last row. The parser finds the mistake.
      at = end === -1 ? csv.length - 1 : end
    }
  }
  return { rows, hasQuotes, wide }
}

/**
 * Number of fields of a row that an error can depend on: all fields that are expected, and twice as
 * many if each has a decimal comma. A few more cost little time.
 */
export function mostFields(expected: number): number {
  return Math.max(1000, 2 * expected + 2)
}
