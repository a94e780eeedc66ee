/** Writes an uploaded model from a stream into a private file, without keeping it in memory. */
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

/** The space is checked again, because other processes also write to the disk. */
const BYTES_BETWEEN_SPACE_CHECKS = 64 * 1024 * 1024

/** Folder and maximum size of an upload. */
export interface UploadOptions {
  /** Folder for the file. If it is missing, it is created for this user only. */
  readonly folder: string
  readonly maxBytes: number
}

/** An uploaded file. The caller owns it and removes it. */
export interface ReceivedFile {
  readonly path: string
  readonly bytes: number
}

/**
 * Writes `chunks` to a file with a random name and the extension of `fileName`, if that is an
 * extension of a model. No file is left after a failure, including one of the stream.
 * @param expectedBytes The size that the client announced; 0 if it announced none.
 * @throws ServerError `PayloadTooLargeException`; `InsufficientMemoryException` if the disk is
 * full; the error of the stream.
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
 * Compares an uploaded file with the client's digest. The file is read again, because the digest
 * may come after it.
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
