/** Extensions of tar headers (POSIX pax): names and sizes that do not fit into the header itself. */
import { invalidArchive } from './limits.ts'

const SPACE = 0x20
const LINE_FEED = 0x0a
const EQUALS = 0x3d
/** Longest length of a record, as digits. */
const MAX_LENGTH_DIGITS = 8

/** What an extension says of the entry that follows; owners, times and comments are of no interest. */
export interface TarExtension {
  readonly path: Buffer | undefined
  readonly bytes: number | undefined
}

/**
 * Parses the records `length key=value\n`. A record that changes what a file is or means is refused,
 * and so is one that is not well-formed, which other readers would skip in different ways.
 * @throws ServerError `InvalidModelException`.
 */
export function parseTarExtension(data: Buffer): TarExtension {
  const records = new Map<string, Buffer>()
  for (let start = 0; start < data.length;) {
    const { key, value, end } = readRecord(data, start)
    if (records.has(key)) throw malformed()
    if (key.startsWith('GNU.sparse.')) throw invalidArchive('it has a sparse file')
    if (key === 'linkpath') throw invalidArchive('it has a link')
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
  return invalidArchive('it has a header extension that is not well-formed')
}
