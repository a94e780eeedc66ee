/**
 * Parses extensions of tar headers (POSIX pax): names and sizes that do not fit into the header.
 */
import { invalidArchive } from './limits.ts'

const SPACE = 0x20
const LINE_FEED = 0x0a
const EQUALS = 0x3d
/** Maximum digits of the length of a record. */
const MAX_LENGTH_DIGITS = 8
/** Archivers write a dozen records. 100 000, which fit into 1 MiB, take half a second. */
const MAX_RECORDS = 1000

/**
 * The parts of an extension that matter for the next entry. Owners, times and comments are ignored.
 */
export interface TarExtension {
  readonly path: Buffer | undefined
  readonly bytes: number | undefined
}

/**
 * Parses the records `length key=value\n`. A record that changes the kind or meaning of a file is
 * rejected. So is a malformed record, which other readers would skip in different ways.
 * @throws ServerError `InvalidModelException`.
 */
export function parseTarExtension(data: Buffer): TarExtension {
  const records = new Map<string, Buffer>()
  for (let start = 0; start < data.length;) {
    const { key, value, end } = readRecord(data, start)
    if (records.has(key)) throw malformed()
    if (records.size === MAX_RECORDS)
      throw invalidArchive(`it has a header extension of more than ${MAX_RECORDS} records`)
    if (key.startsWith('GNU.sparse.')) throw invalidArchive('it contains a sparse file')
    if (key === 'linkpath') throw invalidArchive('it contains a link')
    records.set(key, value)
    start = end
  }
  const charset = records.get('hdrcharset')?.toString('latin1')
  if (charset?.endsWith('UTF-8') === false) throw malformed()
  return { path: records.get('path'), bytes: sizeOf(records.get('size')) }
}

function readRecord(data: Buffer, start: number): { key: string; value: Buffer; end: number } {
  const space = data.subarray(start, start + MAX_LENGTH_DIGITS + 1).indexOf(SPACE)
  const digits = space === -1 ? '' : data.toString('latin1', start, start + space)
  const end = start + Number(digits)
  const keyStart = start + space + 1
  if (!/^[1-9]\d*$/.test(digits) || end > data.length || data[end - 1] !== LINE_FEED) {
    throw malformed()
  }
  const record = data.subarray(keyStart, end - 1)
  const equals = record.indexOf(EQUALS)
  if (equals < 1) throw malformed()
  return { key: record.toString('utf8', 0, equals), value: record.subarray(equals + 1), end }
}

function sizeOf(value: Buffer | undefined): number | undefined {
  if (value === undefined) return undefined
  const digits = value.toString('latin1')
  if (!/^\d{1,15}$/.test(digits)) throw malformed()
  return Number(digits)
}

function malformed(): Error {
  return invalidArchive('it has a malformed header extension')
}
