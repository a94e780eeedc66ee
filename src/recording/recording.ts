/** Reads a file of recorded requests. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { ConfigError, fileProblem } from '../errors.ts'
import { parseDescription } from './description.ts'
import type { RecordedDescription } from './description.ts'
import {
  FORMAT_VERSION,
  HEADER_BYTES,
  RECORD_HEADER_BYTES,
  decodeHeader,
  decodeRecordHeader,
  isIntact,
  recordSize,
} from './format.ts'
import type { FileHeader } from './format.ts'
import { readAt, scanRecords } from './scan.ts'
import type { RecordPlace } from './scan.ts'

/** A recorded request and its response. */
export interface RecordedRequest extends RecordedDescription {
  readonly body: Buffer
  /** Absent if there is no response of a model, or its body was not recorded. */
  readonly responseBody: Buffer | undefined
}

/** An open file of recorded requests. A server may write it meanwhile. */
export class Recording {
  /** The records at the time of opening, the oldest first. */
  readonly places: readonly RecordPlace[]
  readonly #handle: FileHandle
  readonly #mark: Buffer

  private constructor(handle: FileHandle, mark: Buffer, places: readonly RecordPlace[]) {
    this.#handle = handle
    this.#mark = mark
    this.places = places
  }

  /** @throws ConfigError if the file cannot be read or is not a recording. */
  static async open(file: string): Promise<Recording> {
    let handle: FileHandle
    try {
      // Opening a FIFO must not wait for a writer.
      handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch (cause) {
      throw new ConfigError(`Cannot read ${file}: ${fileProblem(cause)}.`, { cause })
    }
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) throw new ConfigError(`${file} is not a regular file.`)
      const { mark } = readHeader(file, await readAt(handle, 0, HEADER_BYTES))
      return new Recording(handle, mark, await scanRecords(handle, mark, stats.size))
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /**
   * Returns a record; `undefined` if a server has overwritten it since the file was opened, or it
   * has no valid description.
   */
  async read(place: RecordPlace): Promise<RecordedRequest | undefined> {
    const bytes = await readAt(this.#handle, place.position, recordSize(place))
    if (bytes.length < RECORD_HEADER_BYTES || !bytes.subarray(0, 8).equals(this.#mark))
      return undefined
    const record = decodeRecordHeader(bytes)
    const isSame = record.sequence === place.sequence && record.crc === place.crc
    if (!isSame || bytes.length < recordSize(record) || !isIntact(bytes, record)) return undefined
    const bodyStart = RECORD_HEADER_BYTES + record.descriptionBytes
    const responseStart = bodyStart + record.requestBytes
    const description = parseDescription(bytes.toString('utf8', RECORD_HEADER_BYTES, bodyStart))
    if (description === undefined) return undefined
    const { response } = description
    const hasBody = response !== undefined && response.omittedBytes === undefined
    return {
      ...description,
      body: bytes.subarray(bodyStart, responseStart),
      responseBody: hasBody
        ? bytes.subarray(responseStart, responseStart + record.responseBytes)
        : undefined,
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** @throws ConfigError if the first bytes of a file are not those of a recording. */
export function readHeader(file: string, bytes: Buffer): FileHeader {
  const header = decodeHeader(bytes)
  if (header === undefined) throw new ConfigError(`${file} is not a recording of onnxd.`)
  if (header.version === FORMAT_VERSION) return header
  throw new ConfigError(
    `${file} is a recording of another version of onnxd (format ${header.version}, this one reads ${FORMAT_VERSION}).`,
  )
}
