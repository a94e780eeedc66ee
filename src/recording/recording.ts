/** Reads a file of recorded requests. */
import { constants } from 'node:fs'
import { lstat, open } from 'node:fs/promises'
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

/** A record in one of the files of a recording. */
export interface RecordedPlace extends RecordPlace {
  /** Number of the HTTP process that wrote the file. */
  readonly part: number
}

/** The file of one HTTP process. */
interface Part {
  readonly handle: FileHandle
  readonly mark: Buffer
  readonly places: readonly RecordPlace[]
}

/**
 * Open files of recorded requests: one for each HTTP process of the server. A server may write them
 * meanwhile.
 */
export class Recording {
  /** The records at the time of opening; those of each process the oldest first. */
  readonly places: readonly RecordedPlace[]
  readonly #parts: readonly Part[]

  private constructor(parts: readonly Part[]) {
    this.#parts = parts
    this.places = parts.flatMap(({ places }, part) => places.map((place) => ({ ...place, part })))
  }

  /**
   * @param file That of process 0. The files of further processes lie beside it.
   * @throws ConfigError if the file cannot be read or is not a recording.
   */
  static async open(file: string): Promise<Recording> {
    const parts = [await openPart(file)]
    try {
      for (;;) {
        const further = partFile(file, parts.length)
        if ((await lstat(further).catch(() => undefined)) === undefined) break
        parts.push(await openPart(further))
      }
      return new Recording(parts)
    } catch (error) {
      await closeAll(parts)
      throw error
    }
  }

  /** Whether several processes have written it, so that its records are not in order. */
  get isDivided(): boolean {
    return this.#parts.length > 1
  }

  /**
   * Returns a record; `undefined` if a server has overwritten it since the file was opened, or it
   * has no valid description.
   */
  async read(place: RecordedPlace): Promise<RecordedRequest | undefined> {
    const part = this.#parts[place.part]
    if (part === undefined) return undefined
    const bytes = await readAt(part.handle, place.position, recordSize(place))
    if (bytes.length < RECORD_HEADER_BYTES || !bytes.subarray(0, 8).equals(part.mark))
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
    return closeAll(this.#parts)
  }
}

/**
 * The file that an HTTP process of a server writes.
 * @param index Number of the process, from 0.
 */
export function partFile(file: string, index: number): string {
  return index === 0 ? file : `${file}.process-${index}`
}

async function openPart(file: string): Promise<Part> {
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
    return { handle, mark, places: await scanRecords(handle, mark, stats.size) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function closeAll(parts: readonly Part[]): Promise<void> {
  await Promise.all(parts.map(({ handle }) => handle.close()))
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
