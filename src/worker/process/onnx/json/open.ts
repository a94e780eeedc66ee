import { ServerError } from '../../../../errors.ts'
import type { CodecLimits } from '../codec.ts'
import { JsonReader } from './reader.ts'

/** A reader of a JSON body. @throws ServerError 413 when it is too long */
export function openJson(bytes: Buffer, limits: CodecLimits): JsonReader {
  if (bytes.length > limits.maxJsonBytes) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The JSON has ${bytes.length} bytes, more than the limit of ${limits.maxJsonBytes}; raw bytes are smaller.`,
    )
  }
  return new JsonReader(bytes, limits.maxJsonDepth)
}
