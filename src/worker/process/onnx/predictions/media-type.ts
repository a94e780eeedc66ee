/** Maps media types to the tensor formats. */
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'

const OCTET_TYPES: ReadonlySet<string> = new Set([
  'application/octet-stream',
  'application/x-octet-stream',
  'binary/octet-stream',
])
/** Media types that clients use for `.npy` files. */
const NUMPY_TYPES: ReadonlySet<string> = new Set([
  'application/x-npy',
  'application/npy',
  'application/x-numpy',
  'application/x-numpy-array',
  'application/vnd.numpy',
])
/** Media types of tables. */
const TABLE_TYPES: ReadonlyMap<string, 'csv' | 'lines' | 'npz' | 'parquet'> = new Map([
  ['text/csv', 'csv'],
  ['application/csv', 'csv'],
  // The error says that tabs must become commas.
  ['text/tab-separated-values', 'csv'],
  ['application/x-ndjson', 'lines'],
  ['application/ndjson', 'lines'],
  ['application/jsonl', 'lines'],
  ['application/x-jsonlines', 'lines'],
  ['application/jsonlines', 'lines'],
  ['application/x-npz', 'npz'],
  ['application/npz', 'npz'],
  ['application/vnd.apache.parquet', 'parquet'],
  ['application/x-parquet', 'parquet'],
  ['application/parquet', 'parquet'],
])
const SPACES: ReadonlySet<number> = new Set([0x20, 0x0a, 0x0d, 0x09])
const OPENINGS: ReadonlySet<number | undefined> = new Set(Buffer.from('{['))
const CLOSINGS: ReadonlySet<number | undefined> = new Set(Buffer.from('}]'))

export type ContentKind =
  | 'json'
  | 'octets'
  | 'numpy'
  | 'text'
  | 'csv'
  | 'lines'
  | 'npz'
  | 'parquet'
  | 'none'
  | 'other'

/** Accepts misspelled JSON types: the JSON reader then checks the body. */
export function contentKind(contentType: string): ContentKind {
  if (contentType === '') return 'none'
  // Fast path for the exact spelling of the two most frequent types.
  if (contentType === 'application/octet-stream') return 'octets'
  if (contentType === 'application/json') return 'json'
  const type = contentType.toLowerCase().trim()
  const [plain = ''] = type.split(';', 1).map((text) => text.trim())
  const table = TABLE_TYPES.get(plain)
  if (table !== undefined) return table
  if (type.startsWith('application/json') || /^[^\s;,]+\+json\b/.test(type)) return 'json'
  if (OCTET_TYPES.has(plain)) return 'octets'
  if (NUMPY_TYPES.has(plain)) return 'numpy'
  return type.startsWith('text/plain') ? 'text' : 'other'
}

/** Whether the bytes begin and end like a JSON array or object, apart from white space. */
export function looksLikeJson(bytes: Buffer): boolean {
  let first = 0
  while (SPACES.has(bytes[first] ?? 0)) first++
  let last = bytes.length - 1
  while (last > first && SPACES.has(bytes[last] ?? 0)) last--
  return OPENINGS.has(bytes[first]) && CLOSINGS.has(bytes[last])
}

/**
 * @returns the error 415 for a body, or for the part `part` of a form, whose type cannot contain a
 * tensor.
 */
export function unsupportedType(contentType: string, part?: string): ServerError {
  const type = quote(contentType)
  const text = contentType.toLowerCase().startsWith('image/')
    ? `This model does not accept images (${type.replaceAll('"', '')}). Set "handler": "image" in its model.json, or send the tensor as JSON or as application/octet-stream.`
    : part === undefined
      ? `Content type ${type} is not supported; send application/json, text/csv, application/octet-stream or multipart/form-data.`
      : `The part ${quote(part)} of the form has the unsupported type ${type}. Send JSON, raw bytes (application/octet-stream) or a NumPy array file (.npy).`
  return new ServerError('UnsupportedMediaTypeException', text)
}
