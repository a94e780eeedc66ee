/** Divides a CSV file into rows and fields. */
import { parse } from 'csv-parse/sync'

/** Takes one row. Returns nothing, so that the parser keeps no rows. */
export type TakeRecord = (fields: readonly string[]) => undefined

/**
 * Calls `take` for each row that is not empty.
 * @param csv UTF-8 without a byte order mark.
 * @throws CsvError for a quote at a wrong place, and the errors of `take`.
 */
export function readRecords(csv: Buffer, hasQuotes: boolean, take: TakeRecord): void {
  if (hasQuotes) {
    parse(csv, {
      record_delimiter: ['\r\n', '\n', '\r'],
      skip_empty_lines: true,
      // The caller says which row is wrong, and which columns the model has.
      relax_column_count: true,
      on_record: take,
    })
  } else readPlain(csv, take)
}

/** Without quotes, each comma ends a field and each line end a row: this needs no parser. */
function readPlain(csv: Buffer, take: TakeRecord): void {
  const raw = csv.toString('utf8')
  const text = raw.includes('\r') ? raw.replaceAll(/\r\n?/g, '\n') : raw
  let start = 0
  while (start < text.length) {
    const found = text.indexOf('\n', start)
    const end = found === -1 ? text.length : found
    if (end > start) take(text.slice(start, end).split(','))
    start = end + 1
  }
}
