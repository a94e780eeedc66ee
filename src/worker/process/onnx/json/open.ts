import { ServerError } from '../../../../errors.ts'
import type { CodecLimits } from '../codec.ts'
import { JsonReader } from './reader.ts'

/**
 * Creates a reader of a JSON body.
 * @throws ServerError 413 when the body exceeds `maxJsonBytes`, 400 when it starts with a byte
 * order mark
 */
export function openJson(bytes: Buffer, limits: CodecLimits): JsonReader {
  if (bytes.length > limits.maxJsonBytes) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The JSON has ${bytes.length} bytes, more than the limit of ${limits.maxJsonBytes}; the same tensor is smaller as raw bytes.`,
    )
  }
  return new JsonReader(bytes, limits.maxJsonDepth)
}
