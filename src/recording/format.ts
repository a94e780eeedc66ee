/**
 * The file of recorded requests: a header, then records at multiples of eight bytes. A record that
 * does not fit before the end of the file is written at the start, over the oldest records. All
 * numbers are little-endian.
 *
 *     header   8 bytes  "onnxdrec"
 *              4        version of the format
 *              4        0
 *              8        maximum size of the file in bytes
 *              8        mark of this file: random bytes that begin each record
 *              32       0
 *     record   8        mark
 *              8        number of the record, from 1
 *              4        bytes of the description, in JSON
 *              4        bytes of the request body
 *              4        bytes of the response body
 *              4        CRC-32 of the three, continued from that of the 20 bytes before
 *              …        description, request body, response body, and zeros up to a multiple of 8
 *
 * The mark keeps a client from sending a body that reads like a record.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from '../formats/crc32.ts'
import type { RecordedDescription } from './description.ts'

export const FORMAT_VERSION = 1
export const HEADER_BYTES = 64
export const RECORD_HEADER_BYTES = 32
/** Maximum size of a record. A recorder holds each in memory. */
export const MAX_RECORD_BYTES = 32 * 1024 * 1024
const MAGIC = Buffer.from('onnxdrec')
const MARK_BYTES = 8
const ALIGNMENT = 8
const CRC_OFFSET = 28

/** Header of a file. */
export interface FileHeader {
  readonly version: number
  /** Maximum size of the file in bytes. */
  readonly capacity: number
  readonly mark: Buffer
}

/** The sizes in the header of a record. */
export interface RecordHeader {
  readonly sequence: number
  readonly descriptionBytes: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly crc: number
}

export function newHeader(capacity: number): FileHeader {
  return { version: FORMAT_VERSION, capacity, mark: randomBytes(MARK_BYTES) }
}

export function encodeHeader({ version, capacity, mark }: FileHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(version, 8)
  bytes.writeBigUInt64LE(BigInt(capacity), 16)
  mark.copy(bytes, 24)
  return bytes
}

/** Returns `undefined` for a file that is not a recording. */
export function decodeHeader(bytes: Buffer): FileHeader | undefined {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    return undefined
  return {
    version: bytes.readUInt32LE(8),
    capacity: Number(bytes.readBigUInt64LE(16)),
    mark: Buffer.from(bytes.subarray(24, 24 + MARK_BYTES)),
  }
}

/** Returns a record in pieces, in order. The bodies are not copied. */
export function encodeRecord(
  mark: Buffer,
  sequence: number,
  description: RecordedDescription,
  bodies: { readonly request: readonly Buffer[]; readonly response: Buffer },
): Buffer[] {
  const json = Buffer.from(JSON.stringify(description))
  const requestBytes = bodies.request.reduce((sum, { length }) => sum + length, 0)
  const header = Buffer.alloc(RECORD_HEADER_BYTES)
  mark.copy(header)
  header.writeBigUInt64LE(BigInt(sequence), 8)
  header.writeUInt32LE(json.length, 16)
  header.writeUInt32LE(requestBytes, 20)
  header.writeUInt32LE(bodies.response.length, 24)
  const content = [json, ...bodies.request, bodies.response]
  header.writeUInt32LE(crcOf(header, content), CRC_OFFSET)
  const bytes = content.reduce((sum, { length }) => sum + length, RECORD_HEADER_BYTES)
  return [header, ...content, Buffer.alloc(padded(bytes) - bytes)]
}

/** Reads the first bytes of a record. The mark is not checked. */
export function decodeRecordHeader(bytes: Buffer): RecordHeader {
  return {
    sequence: Number(bytes.readBigUInt64LE(8)),
    descriptionBytes: bytes.readUInt32LE(16),
    requestBytes: bytes.readUInt32LE(20),
    responseBytes: bytes.readUInt32LE(24),
    crc: bytes.readUInt32LE(CRC_OFFSET),
  }
}

/** The size of a record in the file. */
export function recordSize(record: RecordHeader): number {
  const { descriptionBytes, requestBytes, responseBytes } = record
  return padded(RECORD_HEADER_BYTES + descriptionBytes + requestBytes + responseBytes)
}

/** Whether the bytes of a record are those that were written. */
export function isIntact(bytes: Buffer, record: RecordHeader): boolean {
  const { descriptionBytes, requestBytes, responseBytes, crc } = record
  const end = RECORD_HEADER_BYTES + descriptionBytes + requestBytes + responseBytes
  return crcOf(bytes, [bytes.subarray(RECORD_HEADER_BYTES, end)]) === crc
}

/** The next position at which a record may begin. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

function crcOf(header: Buffer, content: readonly Buffer[]): number {
  const first = crc32(header.subarray(MARK_BYTES, CRC_OFFSET))
  return content.reduce((crc, bytes) => crc32(bytes, crc), first)
}
