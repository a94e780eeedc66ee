import { ServerError } from '../../../../errors.ts'
import { fileFormatOf } from '../../../../formats/file-format.ts'
import type { FileFormat } from '../../../../formats/file-format.ts'
import type { CodecLimits } from '../codec.ts'
import { JsonReader } from './reader.ts'

/**
 * Creates a reader of a JSON body.
 * @throws ServerError 413 when the body exceeds `maxJsonBytes`, 400 when it starts with a byte
 * order mark, 415 when it is a file of another format
 */
export function openJson(bytes: Buffer, limits: CodecLimits): JsonReader {
  if (bytes.length > limits.maxJsonBytes) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The JSON has ${bytes.length} bytes, more than the limit of ${limits.maxJsonBytes}; the same tensor is smaller as raw bytes.`,
    )
  }
  const format = fileFormatOf(bytes)
  if (format !== undefined) {
    throw new ServerError(
      'UnsupportedMediaTypeException',
      `The body is ${format}, not JSON; ${adviceFor(format)}.`,
    )
  }
  return new JsonReader(bytes, limits.maxJsonDepth)
}

/** The next step for a caller who sent a file where JSON is expected. */
export function adviceFor(format: FileFormat): string {
  if (format.endsWith(' image')) {
    return 'for images, the model needs "handler": "image" in its model.json; send them to /predictions, or in base64'
  }
  if (format === 'a Parquet file') return 'send it to /predictions or /v1'
  if (format === 'a NumPy array file' || format === 'a ZIP archive') {
    return 'send files of NumPy to /predictions'
  }
  if (format === 'gzip data') return 'send it with the header "Content-Encoding: gzip"'
  return 'send the inputs as JSON'
}
