/**
 * Detects raw bytes that are a file or a text instead of the elements of a tensor. If their length
 * happens to fit, they would give a wrong result with status 200.
 */
import { isUtf8 } from 'node:buffer'
import { ServerError } from '../../../../errors.ts'
import { fileFormatOf } from '../../../../formats/file-format.ts'
import type { FileFormat } from '../../../../formats/file-format.ts'
import { looksLikeJson } from '../predictions/media-type.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { NumericDatatype } from '../tensors/tensor.ts'
import { elementBytes } from '../tensors/tensor.ts'

/**
 * Minimum number of bytes for the check. Fewer bytes of a real tensor could by chance all be
 * characters of numbers (or of any text). For elements of two bytes the minimum is doubled, because
 * only one of the two bytes tells much.
 */
const LEAST_BYTES = { numbers: 12, text: 32 } as const
const NUMBER_BYTES = new Uint8Array(256)
for (const byte of Buffer.from('0123456789+-.,;eE"\t\r\n ')) NUMBER_BYTES[byte] = 1
/**
 * All bytes except control characters. Whether bytes above ASCII are UTF-8 is checked afterwards.
 */
const TEXT_BYTES = Uint8Array.from({ length: 256 }, (_, byte) =>
  Number((byte >= 0x20 && byte !== 0x7f) || [0x09, 0x0a, 0x0d].includes(byte)),
)
/** A text must have a word and a separator within this many characters. */
const MOST_LOOKED_AT = 256
const IMAGE = /^an? .*image$/

/**
 * Rejects bytes that are not elements. A one-dimensional input of bytes (`UINT8 [N]`) may get any
 * file, because models that decode files have such inputs.
 * @throws ServerError 415 for a known file format, or for text where the elements have several
 * bytes.
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
      ? 'send them with the content type application/json'
      : 'send CSV with the content type text/csv, or send the numbers as JSON'
    throw foreign(spec, 'text', advice)
  }
}

function adviceFor(format: FileFormat): string {
  if (format === 'a NumPy array file')
    return 'send the file to /predictions, or send only the elements of the array'
  if (format === 'a ZIP archive')
    return 'if it is a .npz file, send one of its arrays as a .npy file'
  if (format === 'gzip data') return 'send them with the header "Content-Encoding: gzip"'
  if (IMAGE.test(format)) {
    return 'set "handler": "image" in model.json, or send the elements of the tensor'
  }
  return 'send the elements of the tensor as JSON, as raw bytes or as a .npy file'
}

/**
 * Text has words or numbers with separators between them. Bytes that are all equal are not text.
 */
function isText(bytes: Buffer, factor: number): boolean {
  const isNumbers = consistsOf(bytes, NUMBER_BYTES, LEAST_BYTES.numbers * factor)
  if (!isNumbers && !consistsOf(bytes, TEXT_BYTES, LEAST_BYTES.text * factor)) return false
  const start = bytes.toString('latin1', 0, MOST_LOOKED_AT)
  return /[,;:\s]/.test(start) && /[^\W_]/.test(start) && isUtf8(bytes)
}

/**
 * Binary numbers nearly always have another byte among the first few, so this usually ends early.
 */
function consistsOf(bytes: Buffer, characters: Uint8Array, least: number): boolean {
  return bytes.length >= least && bytes.every((byte) => characters[byte] === 1)
}

function foreign(spec: TensorSpec, what: string, advice: string): ServerError {
  return new ServerError(
    'UnsupportedMediaTypeException',
    `Input ${quote(spec.name)}: the raw bytes are ${what}, not the elements of ${spec.datatype}; ${advice}.`,
  )
}
