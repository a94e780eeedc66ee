/** Takes an uploaded model from a stream into a private file. Nothing of it is kept in memory. */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ServerError } from '../../errors.ts'
import {
  checkFreeSpace,
  createPrivateFile,
  diskFull,
  isDiskFull,
  makePrivateFolder,
} from '../archives/private-file.ts'
import { modelExtension } from '../sources/model-name.ts'

/** The disk may fill up from other sides meanwhile. */
const BYTES_BETWEEN_SPACE_CHECKS = 64 * 1024 * 1024

/** Where an upload goes, and how large it may be. */
export interface UploadOptions {
  /** Folder for the file; made, for this user alone, when it is missing. */
  readonly folder: string
  readonly maxBytes: number
}

/** A file that was uploaded. It belongs to the caller, who removes it. */
export interface ReceivedFile {
  readonly path: string
  readonly bytes: number
}

/**
 * Writes `chunks` to a file with a random name and the extension of `fileName`, if that is one of a
 * model. Nothing is left after a failure, including one of the stream.
 * @param expectedBytes What the client says that will come, 0 when it does not.
 * @throws ServerError `PayloadTooLargeException`, `InsufficientMemoryException` when the disk is full,
 * and whatever the stream fails with.
 */
export async function receiveUpload(
  chunks: AsyncIterable<Buffer>,
  fileName: string,
  expectedBytes: number,
  { folder, maxBytes }: UploadOptions,
): Promise<ReceivedFile> {
  const target = path.join(folder, `upload-${randomUUID()}${modelExtension(fileName)}`)
  let bytes = 0
  let nextSpaceCheck = BYTES_BETWEEN_SPACE_CHECKS
  async function* measured(): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      bytes += chunk.length
      if (bytes > maxBytes) {
        const text = `The model is larger than ${maxBytes} bytes.`
        throw new ServerError('PayloadTooLargeException', text)
      }
      if (bytes > nextSpaceCheck) {
        await checkFreeSpace(Math.min(maxBytes - bytes, BYTES_BETWEEN_SPACE_CHECKS), folder)
        nextSpaceCheck += BYTES_BETWEEN_SPACE_CHECKS
      }
      yield chunk
    }
  }
  try {
    await makePrivateFolder(folder)
    await checkFreeSpace(Math.min(expectedBytes, maxBytes), folder)
    const file = await createPrivateFile(target)
    try {
      await writeFile(file, measured())
    } finally {
      await file.close()
    }
    return { path: target, bytes }
  } catch (error) {
    await rm(target, { force: true })
    throw isDiskFull(error) ? diskFull(error) : error
  }
}

/**
 * Compares an uploaded file with the digest its sender gave. Read once more only for those who give one:
 * the digest may come after the file.
 * @param sha256 64 hexadecimal digits.
 * @throws ServerError `BadRequestException`.
 */
export async function checkDigest(file: string, sha256: string): Promise<void> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  const found = hash.digest('hex')
  if (found === sha256) return
  const text = `The SHA-256 of the uploaded file is ${found}, not ${sha256}.`
  throw new ServerError('BadRequestException', text)
}
