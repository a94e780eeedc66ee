/**
 * Recognises raw bytes that are not the elements of a tensor but a file or a text. Read as numbers,
 * they would give a wrong result with status 200 where their length happens to fit.
 */
import { isUtf8 } from 'node:buffer'
import { ServerError } from '../../../../errors.ts'
import { fileFormatOf } from '../../../../file-format.ts'
import type { FileFormat } from '../../../../file-format.ts'
import { looksLikeJson } from '../predictions/media-type.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { NumericDatatype } from '../tensors/tensor.ts'
import { elementBytes } from '../tensors/tensor.ts'

/**
 * Fewer bytes may by chance all be the characters of numbers (or of any text). Elements of two
 * bytes need more of them, because one of the two says little.
 */
const LEAST_BYTES = { numbers: 12, text: 32 } as const
const NUMBER_BYTES = new Uint8Array(256)
for (const byte of Buffer.from('0123456789+-.,;eE"\t\r\n ')) NUMBER_BYTES[byte] = 1
/** No control characters; whether bytes above ASCII are UTF-8 is looked at afterwards. */
const TEXT_BYTES = Uint8Array.from({ length: 256 }, (_, byte) =>
  Number((byte >= 0x20 && byte !== 0x7f) || [0x09, 0x0a, 0x0d].includes(byte)),
)
/** A text has a word and a separator within so many characters. */
const MOST_LOOKED_AT = 256
const IMAGE = /^an? .*image$/

/**
 * A row of bytes (`UINT8 [N]`) may be any file: models that decode files take them so.
 * @throws ServerError 415 for a well-known file, or text, where the input takes other numbers.
 */
export function refuseForeignBytes(
  spec: TensorSpec,
  datatype: NumericDatatype,
  bytes: Buffer,
): void {
  const size = elementBytes(datatype)
  if (size === 1 && spec.shape.length < 2) return
  const format = fileFormatOf(bytes)
  if (format !== undefined) throw foreign(spec, format, adviceFor(format))
  if (size > 1 && isText(bytes, size === 2 ? 2 : 1)) {
    const advice = looksLikeJson(bytes)
      ? 'send it with the type application/json'
      : 'send the numbers as JSON'
    throw foreign(spec, 'text', advice)
  }
}

function adviceFor(format: FileFormat): string {
  if (format === 'a NumPy array file') return 'send the array to /predictions, or its elements only'
  if (format === 'a ZIP archive') return 'of a .npz file send one array as .npy'
  if (format === 'gzip data') return 'send the header "Content-Encoding: gzip" with it'
  if (IMAGE.test(format)) {
    return 'set "handler": "image" in the model.json, or send the elements of the tensor'
  }
  return 'send the elements of the tensor as JSON, as raw bytes or as a .npy file'
}

/**
 * Text has words or numbers with separators between them. Bytes that are all the same are not text.
 */
function isText(bytes: Buffer, factor: number): boolean {
  const isNumbers = consistsOf(bytes, NUMBER_BYTES, LEAST_BYTES.numbers * factor)
  if (!isNumbers && !consistsOf(bytes, TEXT_BYTES, LEAST_BYTES.text * factor)) return false
  const start = bytes.toString('latin1', 0, MOST_LOOKED_AT)
  return /[,;:\s]/.test(start) && /[^\W_]/.test(start) && isUtf8(bytes)
}

/** Numbers have a foreign byte among the first few, so that hardly ever more is looked at. */
function consistsOf(bytes: Buffer, characters: Uint8Array, least: number): boolean {
  return bytes.length >= least && bytes.every((byte) => characters[byte] === 1)
}

function foreign(spec: TensorSpec, what: string, advice: string): ServerError {
  return new ServerError(
    'UnsupportedMediaTypeException',
    `Input ${quote(spec.name)}: the raw bytes are ${what}, not the elements of ${spec.datatype}; ${advice}.`,
  )
}
